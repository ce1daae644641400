"""Bars over long work."""

import pytest
from rich.console import Console

from galmorph.progress import announce, watched


def test_items_are_the_same_and_a_file_sees_no_bar(capsys):
    assert list(watched([3, 1, 2], "counting")) == [3, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_the_bar(capsys, monkeypatch):
    monkeypatch.setattr(Console, "is_terminal", True)
    assert list(watched(range(3), "counting")) == [0, 1, 2]
    assert "counting" in capsys.readouterr().err


def test_a_fault_in_the_work_comes_through():
    with pytest.raises(ZeroDivisionError):
        [1 / each for each in watched([1, 0], "dividing")]


def test_what_begins_is_said_where_a_bar_would_be_seen(capsys, monkeypatch):
    announce("the first of two")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(Console, "is_terminal", True)
    announce("the first of two")
    assert capsys.readouterr().err == "the first of two\n"
