"""Errors a user can act on: each says what was expected, what came and what to do.

Every error is both one of the project's and one of Python's, so that callers can catch either.
"""


class GalmorphError(Exception):
    """Root of every error that galmorph raises on purpose."""


class TileError(GalmorphError, ValueError):
    """A tile cannot be used: unreadable, without a WCS, with planes that do not fit together."""


class TileUnavailableError(TileError):
    """A tile cannot be read now, and may be good: it is gone, has changed, or memory or a disk failed."""


class SurveyError(GalmorphError, ValueError):
    """A survey profile is unknown, malformed or does not fit what it is asked for."""


class BundleError(GalmorphError, ValueError):
    """A model bundle is incomplete, altered, newer than this version or unfit for the survey."""


class RegistryError(GalmorphError, LookupError):
    """A model is not in the registry, or is not what the registry says of it."""


class RunError(GalmorphError, RuntimeError):
    """A survey run cannot start or go on."""


class FolderError(RunError):
    """A run folder cannot be written: full, read-only or gone."""


class CatalogError(GalmorphError, ValueError):
    """A catalogue cannot be written, opened or asked."""


class ConfigError(GalmorphError, ValueError):
    """A configuration or recipe has a missing, unknown or impossible setting."""


class BudgetError(ConfigError):
    """The time that a training may take was over before it had anything to use."""


class DataError(GalmorphError, ValueError):
    """A table, an image or a labelled dataset is not what it has to be."""


class MissingExtraError(GalmorphError, ImportError):
    """An optional part of the installation is needed and not there."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(what, package, extra)

    def __str__(self) -> str:
        what, package, extra = self.args
        return (
            f"{what} needs {package}, which is not installed. Install it with: pip install 'galmorph-survey[{extra}]'"
        )


class Terminated(KeyboardInterrupt):
    """SIGTERM asks the process to end, as a batch system does before the time is over."""
