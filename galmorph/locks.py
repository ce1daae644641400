"""What belongs to one call at a time: a lock of the operating system, which ends with the process however that ends."""

import fcntl
import logging
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)


def take(file: IO[Any], what: Path) -> bool:
    """Take the lock of an open file, without waiting; closing the file gives it back.

    Parameters
    ----------
    file : file
        Open.
    what : Path
        What the lock is of, for the log.

    Returns
    -------
    bool
        Whether this call has it; also where the file system knows no locks, and nothing can be told.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        logger.info("the file system of %s knows no locks", what)
    return True
