"""Turns of tiles in one process: what overlaps, what waits, and what is told of it."""

import threading
import time

import pytest

from galmorph.inference.line import Line, one_ahead


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    ticking = Clock()
    monkeypatch.setattr("galmorph.inference.line.time", ticking)
    return ticking


def test_one_tile_by_itself_overlaps_nothing(clock):
    with Line().tile() as turns:
        with turns.preparing():
            clock.now += 5
            turns.lap("read")
            clock.now += 3
            turns.lap("detect")
        for _ in range(2):
            turns.add("cut", 1.0)
            clock.now += 1
            with turns.scoring():
                clock.now += 10
            clock.now += 0.5
            turns.lap("assemble")
        clock.now += 2
        turns.lap("write")
    assert turns.seconds == {
        "read": 5, "detect": 3, "cut": 2, "queue": 2, "score": 20, "assemble": 1, "write": 2,
        "idle": 5 + 3 + 2 * 1 + 2 * 0.5 + 2,
    }  # fmt: skip


def test_what_happens_while_another_tile_is_scored_is_not_idle(clock):
    line = Line()
    with line.tile() as first, line.tile() as second:
        clock.now += 4
        with first.preparing():
            first.lap("read")
        with first.scoring():
            with second.preparing():
                clock.now += 7
                second.lap("read")
            clock.now += 1
        clock.now += 2
        with second.scoring():
            clock.now += 3
    assert first.seconds["idle"] == 4
    assert second.seconds["idle"] == 2
    assert (first.seconds["score"], second.seconds["read"], second.seconds["score"]) == (8, 7, 3)


def test_time_between_tiles_is_nobodys(clock):
    line = Line()
    idle = []
    for _ in range(2):
        clock.now += 50
        with line.tile() as turns:
            clock.now += 1
            with turns.scoring():
                clock.now += 1
        idle.append(turns.seconds["idle"])
    assert idle == [1, 1]


def test_a_tile_that_fails_gives_its_turn_back():
    line = Line()
    for stage in ("preparing", "scoring"):
        with pytest.raises(MemoryError), line.tile() as turns, getattr(turns, stage)():
            raise MemoryError
    with line.tile() as turns, turns.preparing(), turns.scoring():
        pass
    assert set(turns.seconds) == {"idle", "queue", "score"}


def test_two_tiles_take_turns():
    line, inside, most = Line(), [], []

    def work() -> None:
        with line.tile() as turns:
            for stage in (turns.preparing, turns.scoring, turns.scoring):
                with stage():
                    inside.append(stage.__name__)
                    time.sleep(0.005)
                    most.append(sorted(inside))
                    inside.remove(stage.__name__)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == 9
    assert all(len(set(stages)) == len(stages) for stages in most)


def test_one_item_is_made_ahead_and_no_more():
    made = []

    def items():
        for number in range(4):
            made.append((number, threading.current_thread()))
            yield number

    seen = []
    for number in one_ahead(items()):
        deadline = time.monotonic() + 5
        while len(made) < min(number + 2, 4) and time.monotonic() < deadline:
            time.sleep(0.001)
        seen.append((number, len(made)))
    assert seen == [(0, 2), (1, 3), (2, 4), (3, 4)]
    assert threading.current_thread() not in {thread for _, thread in made}


def test_a_fault_comes_in_its_place():
    def items():
        yield 1
        raise MemoryError("of the second")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(MemoryError, match="of the second"):
        next(ahead)
