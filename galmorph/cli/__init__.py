"""The ``galmorph`` command: one small module per verb, loaded when the verb is used."""

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import App, Parameter
from cyclopts.config import Toml

import galmorph
from galmorph.errors import GalmorphError, Terminated

#: Set to anything, this environment variable lets Python's traceback through.
TRACEBACK = "GALMORPH_TRACEBACK"


#: Modules whose warnings commands tell in their own words.
TOLD = (
    "galmorph.tiles",
    "galmorph.detection",
    "galmorph.labelling",
    "galmorph.inference.attempts",
    "galmorph.training.guarded",
)


#: Commands that, given again, go on with what they had done when they were stopped.
RESUMED = {"classify", "train", "search", "retrain"}


app = App(
    name="galmorph",
    help="Survey images in, a catalogue of galaxy morphology out.",
    version=galmorph.__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.meta.suppress_keyboard_interrupt = False
app.command("galmorph.cli.demo:demo", name="demo", help="Classify the embedded mock survey, and see what comes out.")
app.command("galmorph.cli.doctor:doctor", name="doctor", help="What is installed here, and what is missing.")
app.command("galmorph.cli.surveys:app", name="surveys", help="Built-in survey profiles, and which of them files fit.")
app.command("galmorph.cli.mock:mock", name="mock", help="Make a mock survey: tiles, truth and labelled cutouts.")
app.command("galmorph.cli.cutouts:cutouts", name="cutouts", help="Cut labelled objects out of tiles, for training.")
app.command("galmorph.cli.imports:app", name="import", help="Turn a published data set into a set of cutouts.")
app.command("galmorph.cli.methods:methods", name="methods", help="The methods that a training can use.")
app.command("galmorph.cli.train:train", name="train", help="Train a network by a recipe.")
app.command("galmorph.cli.search:search", name="search", help="Search settings of a recipe.")
app.command("galmorph.cli.train:export", name="export", help="Make a model bundle from a training.")
app.command("galmorph.cli.train:evaluate", name="evaluate", help="Measure a model bundle on labelled cutouts.")
app.command("galmorph.cli.explain:explain", name="explain", help="Draw what a model has learned, and where it looks.")
app.command("galmorph.cli.retrain:retrain", name="retrain", help="Follow a new data release, from tiles to catalogue.")
app.command("galmorph.cli.models:app", name="models", help="The registry of models: versions, champion, going back.")
app.command("galmorph.cli.plan:plan", name="plan", help="Predict time, memory, disk and cost of a survey.")
app.command("galmorph.cli.classify:classify", name="classify", help="Classify survey tiles and write a catalogue.")
app.command("galmorph.cli.catalog:app", name="catalog", help="Ask a catalogue.")
app.command("galmorph.cli.drift:drift", name="drift", help="Say whether a release is what a model was made for.")
app.command("galmorph.cli.gather:gather", name="gather", help="Cut out objects of a new release to adapt to.")


@app.meta.default
def _with_config(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Path | None = None,
) -> Any:
    """Read options from a file before the command line, which goes before them.

    Parameters
    ----------
    config
        TOML file with options, in a table per verb: ``[classify]``, ``[classify.detection]``, and so on.
    """
    if config is not None:
        app.config = (Toml(config, must_exist=True),)
    return app(tokens, exit_on_error=False, print_error=False)


@contextmanager
def _stop_prevails() -> Iterator[None]:
    """What goes wrong while a stopped command closes what is open is no news: that it was stopped is."""
    try:
        yield
    except Exception as error:
        before = error.__context__
        while before is not None and not isinstance(before, KeyboardInterrupt):
            before = before.__context__
        if before is not None:
            raise before from None
        raise


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every fault is a paragraph on standard error and exit code 2."""
    app.config = None
    given = sys.argv[1:] if arguments is None else arguments
    try:
        with _stop_prevails(), _warnings_shown():
            app.meta(arguments, exit_on_error=False, print_error=False)
    except (GalmorphError, cyclopts.CycloptsError) as error:
        _fail(str(error))
    except FileNotFoundError as error:
        _fail(f"{error.filename} does not exist" if error.filename else str(error))
    except KeyboardInterrupt as stop:
        kept = " What was finished is kept: the same command goes on from there." if {*given[:1]} & RESUMED else ""
        print(f"\nStopped.{kept}", file=sys.stderr)
        sys.exit(143 if isinstance(stop, Terminated) else 130)
    except BrokenPipeError:
        # The reader has gone, as in `galmorph catalog query … | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        if isinstance(error, OSError) and error.errno in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EFBIG,
            errno.EROFS,
            errno.EACCES,
            errno.EIO,
            errno.EEXIST,
            errno.ENOTDIR,
            errno.EISDIR,
        ):
            more = ". Make room, and the same command goes on from there" if {*given[:1]} & RESUMED else ""
            _fail(f"{error.filename or 'a file'} cannot be written or read: {error.strerror}{more}")
        if _process():
            # Most often only that another process has gone, which says why.
            print(f"galmorph: process {_process()} ends: {type(error).__name__}: {error}", file=sys.stderr)
            sys.exit(2)
        _fail(
            f"unexpected fault, {type(error).__name__}: {error}. This is a defect of galmorph: please report it, with "
            f"what {TRACEBACK}=1 adds to the message."
        )


class _OnScreen(logging.Handler):
    """Tells each thing once; of the processes of a training on several devices the first tells it."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.name in TOLD or message in self.told or _process():
            return
        self.told.add(message)
        print(f"galmorph: {message}", file=sys.stderr)


def _process() -> int:
    """Number of this one among the processes that a training started, 0 for the first and for any other command's."""
    return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0)


@contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show on standard error what galmorph warns of."""
    handler, logger = _OnScreen(logging.WARNING), logging.getLogger("galmorph")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _fail(message: str) -> None:
    if not _process():
        print(f"galmorph: {message}", file=sys.stderr)
    sys.exit(2)
