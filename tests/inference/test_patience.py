"""Reading that stands still is given up; reading that gets on is waited for, and faults come through."""

import errno
import threading
import time
from pathlib import Path

import pytest

from galmorph.inference import patience
from galmorph.inference.patience import within_patience

PATHS = [Path("a.fits"), Path("b.fits")]


def test_what_is_read_is_returned_and_faults_are_raised():
    assert within_patience(PATHS, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        within_patience(PATHS, lambda: 1 // 0)


def test_reading_that_stands_still_is_given_up_by_name(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", 0.1)
    held = threading.Event()
    with pytest.raises(OSError, match=r"disk is slow or hangs: 'one of a.fits, b.fits'") as caught:
        within_patience(PATHS, lambda: held.wait(60))
    assert caught.value.errno == errno.ETIMEDOUT
    held.set()


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="threads have no clocks of their own here")
def test_reading_that_gets_on_slowly_is_waited_for(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", 0.2)

    def slowly():
        for _ in range(8):
            time.sleep(0.1)
            sum(range(20_000))
        return "all"

    assert within_patience(PATHS, slowly) == "all"
