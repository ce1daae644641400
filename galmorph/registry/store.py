"""Where MLflow keeps its records: an sqlite file, or a server by its address."""

import contextlib
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from galmorph.errors import ConfigError, MissingExtraError

#: The store unless another is named: beside the results.
DEFAULT = Path("runs") / "mlflow.db"

#: Folder of artefacts beside an sqlite file.
ARTEFACTS = "mlflow-artefacts"

SQLITE = "sqlite:///"

#: How the name of an sqlite file ends.
ENDINGS = (".db", ".sqlite", ".sqlite3")

#: MLflow's own variables that name a store, the first that is set counts.
VARIABLES = ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")


def store_uri(given: str | Path | None = None) -> str:
    """Address of a store.

    Parameters
    ----------
    given : str or Path, optional
        ``sqlite:///PATH``, the address of a server, or a path ending in ``.db``, ``.sqlite`` or ``.sqlite3``, which
        stands for the first. By default what MLflow's variables say (`VARIABLES`), else ``runs/mlflow.db``.

    Returns
    -------
    str
        With an absolute path where it is a file.

    Raises
    ------
    ConfigError
        If it is a path of another ending, or one that MLflow would read otherwise.
    """
    text = (
        str(given) if given is not None else next((os.environ[name] for name in VARIABLES if os.environ.get(name)), "")
    )
    text = text or str(DEFAULT)
    if is_file(text):
        file = str(Path(text).resolve())
        if unquote(file) != file or "?" in file:
            raise ConfigError(
                f"MLflow would take {file} for another file: its path may hold no ?, and no % before two "
                "hexadecimal digits. Give another path"
            )
        return f"{SQLITE}{file}"
    if ":" not in text and not text.startswith("databricks"):
        raise ConfigError(
            f"{text} is no store of MLflow: give an sqlite file, whose name ends in {', '.join(ENDINGS)} and which is "
            "made if it is not there, or the address of a server"
        )
    return text


def is_file(text: str) -> bool:
    """Whether a store that was given is the path of an sqlite file."""
    return text.endswith(ENDINGS) and ":" not in text


def sqlite_file(uri: str) -> Path | None:
    """The file of an sqlite store; None for a server."""
    return Path(unquote(uri.removeprefix(SQLITE))).resolve() if uri.startswith(SQLITE) else None


def artefacts_beside(uri: str) -> str | None:
    """Where artefacts go: beside an sqlite file; a server knows by itself."""
    file = sqlite_file(uri)
    return None if file is None else (file.parent / ARTEFACTS).as_uri()


def open_store(uri: str, purpose: str = "Tracking") -> Any:
    """MLflow's client of a store; an sqlite file is made if there is none.

    Parameters
    ----------
    uri : str
        From `store_uri`.
    purpose : str
        What needs it, for the message when MLflow is not installed.

    Returns
    -------
    mlflow.tracking.MlflowClient
        After a first question was answered.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    ConfigError
        If the store cannot be opened.
    """
    # Before the import, because MLflow would report its use to its makers otherwise.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # What goes to standard output there may be read by a program.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MissingExtraError(purpose, str(error.name), "tracking") from error
    logging.getLogger("alembic").setLevel(logging.WARNING)
    file = sqlite_file(uri)
    try:
        if file is not None and not file.exists():
            _make(file, MlflowClient)
        return _asked(MlflowClient, uri)
    except Exception as error:  # whatever a store's driver raises
        raise ConfigError(f"MLflow cannot open {uri}: {error}") from error


@contextlib.contextmanager
def one_at_a_time(store: Path | None) -> Iterator[None]:
    """Hold a lock beside an sqlite file; changes of a server's are made in the order in which it takes them."""
    if store is None:
        yield
        return
    with store.with_name(f"{store.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(file: Path, client: Any) -> None:
    """Make an sqlite file under another name first, so that one that is there has all its tables, and only once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(file), tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}-") as scratch:
        if not file.exists():
            new = Path(scratch) / file.name
            _asked(client, f"{SQLITE}{new}")
            new.replace(file)


def _asked(client: Any, uri: str) -> Any:
    """A client of a store that has answered a first question."""
    made = client(tracking_uri=uri, registry_uri=uri)
    made.search_experiments(max_results=1)
    return made
