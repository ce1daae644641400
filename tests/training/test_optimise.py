import pytest
import torch

from galmorph.training.optimise import build_optimiser, build_schedule, parameter_groups, rate_factor
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
    options = OptimiserOptions(schedule="cosine", warmup_epochs=0.0)
    assert [rate_factor(step, options, 10, 20) for step in (200, 260)] == [0, 0]


def test_warm_up_rises_to_one():
    values = factors(OptimiserOptions(schedule="constant", warmup_epochs=2.0))
    assert values[:20] == sorted(values[:20])
    assert values[0] == pytest.approx(1 / 21)
    assert values[20:] == [1.0] * 180


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", {20: 1.0, 110: 0.5, 155: 0.5 - 0.5**1.5}),  # half way and three quarters of the way to the end
        ("triangle", {20: 0.1, 40: 0.55, 60: 1.0, 100: 0.1}),
        ("step", {20: 1.0, 99: 1.0, 100: 0.1}),  # epochs of the warm-up are epochs
    ],
)
def test_after_a_warm_up(schedule, expected):
    values = factors(OptimiserOptions(schedule=schedule, warmup_epochs=2.0, cycle_epochs=8))
    assert values[:20] == pytest.approx([(n + 1) / 21 for n in range(20)])
    assert {step: values[step] for step in expected} == pytest.approx(expected)


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


def test_momentum_is_nesterovs():
    """Of gradients of 1 with a rate of 1: 1 + 0.9 first, 1 + 0.9 (1 + 0.9) then."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = build_optimiser([parameter], OptimiserOptions(name="sgd", learning_rate=1.0, weight_decay=0.0))
    places = []
    for _ in range(2):
        parameter.grad = torch.ones(1)
        optimiser.step()
        places.append(parameter.item())
    assert places == pytest.approx([-1.9, -1.9 - 2.71])


def test_a_warm_up_of_the_whole_training_ends_at_one():
    """The schedule is asked once more after the last step."""
    options = OptimiserOptions(schedule="cosine", warmup_epochs=20.0)
    assert rate_factor(199, options, 10, 20) == pytest.approx(200 / 201)
    assert rate_factor(200, options, 10, 20) == 1


def test_triangle_goes_from_a_tenth_up_and_down_in_each_cycle():
    values = factors(OptimiserOptions(schedule="triangle", warmup_epochs=0.0, cycle_epochs=8))
    assert values[0] == pytest.approx(0.1)
    assert values[40] == pytest.approx(1.0)
    assert values[20] == pytest.approx(0.55)
    assert values[80:160] == pytest.approx(values[:80])


def test_moments_of_deepmerge():
    optimiser = build_optimiser([torch.nn.Parameter(torch.zeros(1))], OptimiserOptions(name="adam", betas=(0.7, 0.8)))
    assert optimiser.defaults["betas"] == (0.7, 0.8)


def test_losses_learn_at_rates_of_their_own():
    options = OptimiserOptions(learning_rate=0.01, schedule="step", warmup_epochs=0.0, step_epochs=1)
    network, silent, judge = torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1)
    silent.rate, judge.rate = 1.0, 10.0
    groups = parameter_groups(network, [silent, judge], options)
    assert [len(group["params"]) for group in groups] == [2, 2]
    optimiser = build_optimiser(groups, options)
    schedule = build_schedule(optimiser, options, steps_per_epoch=1, epochs=3)
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.01, 0.1])
    optimiser.step()
    schedule.step()
    assert [group["lr"] for group in optimiser.param_groups] == pytest.approx([0.001, 0.01])


@pytest.mark.parametrize(("name", "idle", "left"), [("adam", True, 1), ("adam", False, 0), ("adamw", True, 1)])
def test_a_loss_that_does_not_count_yet_loses_nothing_of_its_own(name, idle, left):
    """Adam's penalty alone would be a full step each time."""
    options = OptimiserOptions(name=name, learning_rate=0.01, weight_decay=1e-4)
    network, judge = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1, bias=False)
    judge.rate = 1.0
    torch.nn.init.ones_(judge.weight)
    optimiser = build_optimiser(parameter_groups(network, [judge], options, idle=idle), options)
    for _ in range(200):
        optimiser.zero_grad()
        (0.0 * judge(torch.ones(3, 2)).sum()).backward()
        optimiser.step()
    assert float(judge.weight.detach().mean()) == pytest.approx(left, abs=0.05)
