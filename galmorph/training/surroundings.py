"""What a training changes in the process that runs it, put back at the end."""

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator

import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from galmorph.errors import Terminated

#: Lightning's advice on things that are so on purpose, or that are its own affair.
EXPECTED = (
    ".*does not have many workers",  # arrays in memory are read faster without
    ".*exists and is not empty",  # a resumed training
    ".*GPU available but not used",  # the user said cpu
    ".*callbacks used to create the checkpoint need to be provided",  # a budget of time that is none any more
    ".*have no `val_dataloader`",  # a scan of learning rates
    ".*LeafSpec.* is deprecated",  # Lightning's own use of torch
)


@contextlib.contextmanager
def surroundings(seed: int) -> Iterator[None]:
    """Seed torch and keep Lightning quiet; random state, determinism, log levels and Ctrl-C are put back.

    Parameters
    ----------
    seed : int
        Seed of the random weights.

    Yields
    ------
    None
        For as long as the training takes.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    devices = range(torch.cuda.device_count())
    with _quiet_logs(), _interruptible(), warnings.catch_warnings(), torch.random.fork_rng(devices=devices):
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        torch.manual_seed(seed)
        # Else torch fills all new memory before use, which takes a fifth of a small network's step.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C be a KeyboardInterrupt, which Lightning makes an exit and ignores after, and SIGTERM `Terminated`."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException as error:
        raise Terminated from error
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
