"""When losses that adapt begin: as told, or by the shares of the method."""

import pytest

from galmorph.errors import ConfigError
from galmorph.training.method_options import MethodOptions
from galmorph.training.methods import METHODS
from galmorph.training.onset import Onset, onset


@pytest.mark.parametrize(("epoch", "share"), [(0, 0), (1.99, 0), (2, 0), (3, 0.25), (6, 1), (9, 1)])
def test_weights_rise_after_the_warm_up(epoch, share):
    assert onset(MethodOptions(warmup_epochs=2, ramp_epochs=4), 30).share(epoch) == share


def test_without_ramp_they_are_full_at_once():
    begin = onset(MethodOptions(warmup_epochs=2, ramp_epochs=0), 30)
    assert [begin.share(epoch) for epoch in (1.9, 2.0)] == [0, 1]


@pytest.mark.parametrize("name", METHODS)
def test_the_shares_of_a_method_are_of_all_epochs(name):
    warmup = 12 if name in ("dance", "deepastrouda", "ovanet") else 3
    assert onset(MethodOptions(name=name), 30) == Onset(warmup, 6)


def test_one_of_them_can_be_told():
    assert onset(MethodOptions(name="mmd", ramp_epochs=0), 20) == Onset(2, 0)
    assert onset(MethodOptions(name="mmd", warmup_epochs=0), 20) == Onset(0, 4)


def test_whole_epochs_stay_whole():
    # In floating point 0.1 * 70 + 0.2 * 70 is a little more than 21.
    assert onset(MethodOptions(name="mmd"), 70).end == 21


def test_an_unknown_method_is_told():
    with pytest.raises(ConfigError, match=r"method\.name must be one of"):
        onset(MethodOptions(name="magic"), 10)
