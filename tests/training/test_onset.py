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
    # Also where the end is told in fewer places.
    assert Onset(1.23456789, 0).share(1.23456789) == 1


@pytest.mark.parametrize("name", METHODS)
def test_the_shares_of_a_method_are_of_all_epochs(name):
    warmup = 12 if name in ("dance", "deepastrouda", "ovanet") else 3
    assert onset(MethodOptions(name=name), 30) == Onset(warmup, 6)


def test_one_of_them_can_be_told():
    assert onset(MethodOptions(name="mmd", ramp_epochs=0), 20) == Onset(2, 0)
    assert onset(MethodOptions(name="mmd", warmup_epochs=0), 20) == Onset(0, 4)


# In floating point the sum is a little more than 3, the quotient (1 - 0.8) / 0.2 a little less than 1.
@pytest.mark.parametrize(("warmup", "ramp", "end"), [(0.05 * 12, 0.2 * 12, 3), (0.8, 0.2, 1), (1.1, 0.9, 2), (2, 4, 6)])
def test_weights_are_full_at_the_end_that_is_told(warmup, ramp, end):
    begin = Onset(warmup, ramp)
    assert begin.end == end
    assert begin.share(end) == 1
    assert begin.share(end - 0.001) < 1


def test_an_unknown_method_is_told():
    with pytest.raises(ConfigError, match=r"method\.name must be one of"):
        onset(MethodOptions(name="magic"), 10)
