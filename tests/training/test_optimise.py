import pytest
import torch

from galmorph.training.optimise import build_optimiser, build_schedule, rate_factor
from galmorph.training.options import OptimiserOptions


def factors(options, steps_per_epoch=10, epochs=20):
    return [rate_factor(step, options, steps_per_epoch, epochs) for step in range(steps_per_epoch * epochs)]


def test_step_is_the_papers_tenth_every_ten_epochs():
    values = factors(OptimiserOptions(schedule="step", warmup_epochs=0.0))
    assert values[:100] == [1.0] * 100
    assert values[100:] == pytest.approx([0.1] * 100)


def test_cosine_goes_from_one_to_zero():
    values = factors(OptimiserOptions(schedule="cosine", warmup_epochs=0.0))
    assert values[0] == 1
    assert values[100] == pytest.approx(0.5)
    assert values[-1] < 1e-3
    assert values == sorted(values, reverse=True)


def test_warm_up_rises_to_one():
    values = factors(OptimiserOptions(schedule="constant", warmup_epochs=2.0))
    assert values[:20] == sorted(values[:20])
    assert values[0] == pytest.approx(1 / 21)
    assert values[20:] == [1.0] * 180


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimisers(name, kind):
    options = OptimiserOptions(name=name, learning_rate=0.2, weight_decay=0.03, schedule="step", warmup_epochs=0.0)
    optimiser = build_optimiser([torch.nn.Parameter(torch.ones(2))], options)
    assert type(optimiser) is kind
    assert optimiser.param_groups[0]["weight_decay"] == 0.03
    assert optimiser.param_groups[0].get("nesterov", name == "sgd") is (name == "sgd")
    schedule = build_schedule(optimiser, options, steps_per_epoch=1, epochs=11)
    for _ in range(10):
        optimiser.step()
        schedule.step()
    assert optimiser.param_groups[0]["lr"] == pytest.approx(0.02)
