import math

import pytest
import torch
from torch.nn import functional

from galmorph.training.losses import vanishing_loss
from galmorph.training.method_options import MethodOptions
from galmorph.training.networks import Activations
from galmorph.training.outputs import Outputs, Seen
from galmorph.training.terms import Balance, Setting

SHARES = torch.tensor([0.5, 0.3, 0.2])


def logits_of(*probabilities):
    return torch.tensor(probabilities).log()


def test_by_hand():
    """Mean answer (.75, .2, .05); of its share of .2 the last class should keep .1, and has half of that."""
    logits = logits_of([0.9, 0.05, 0.05], [0.6, 0.35, 0.05])
    assert vanishing_loss(logits, SHARES, 0.5).item() == pytest.approx(0.2 * math.log(2), abs=1e-6)


def test_another_mix_within_the_bounds_costs_nothing():
    logits = logits_of([0.3, 0.55, 0.15], [0.24, 0.6, 0.16]).requires_grad_(True)
    value = vanishing_loss(logits, SHARES, 0.5)
    value.backward()
    assert value.item() == 0
    assert logits.grad.abs().max() == 0


def test_unsure_answers_cost_nothing():
    """What is unknown is answered evenly; that is no class that vanishes."""
    assert vanishing_loss(torch.zeros(4, 3), torch.full((3,), 1 / 3), 0.5).item() == 0


def test_all_of_one_class_is_the_divergence_of_the_others():
    logits = logits_of([0.98, 0.01, 0.01])
    expected = 0.3 * math.log(0.15 / 0.01) + 0.2 * math.log(0.1 / 0.01)
    assert vanishing_loss(logits, SHARES, 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_whole_shares_of_which_all_are_short_but_one_are_nearly_the_kullback_leibler_divergence():
    logits = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([4.0, 0.0, 0.0])
    mean = logits.softmax(dim=1).mean(dim=0)
    divergence = functional.kl_div(mean.log(), SHARES, reduction="sum")
    surplus = SHARES[0] * (SHARES[0] / mean[0]).log()
    torch.testing.assert_close(vanishing_loss(logits, SHARES, 1.0), divergence - surplus)


def test_a_step_brings_back_what_vanished():
    logits = logits_of([0.98, 0.01, 0.01]).repeat(5, 1).requires_grad_(True)
    vanishing_loss(logits, SHARES, 0.5).backward()
    before, after = (values.softmax(dim=1).mean(dim=0) for values in (logits, logits - logits.grad))
    assert (after[1:] > before[1:]).all()
    assert after[0] < before[0]


def test_a_class_that_the_source_lacks_owes_nothing():
    logits = logits_of([0.999999, 1e-6])
    assert vanishing_loss(logits, torch.tensor([1.0, 0.0]), 0.5).item() == 0


def test_probability_of_zero_is_finite():
    logits = torch.tensor([[0.0, -1e5, -1e5]], requires_grad=True)
    value = vanishing_loss(logits, SHARES, 0.5)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


def test_empty_batch():
    logits = torch.zeros(0, 3, requires_grad=True)
    value = vanishing_loss(logits, SHARES, 0.5)
    value.backward()
    assert value.item() == 0


@pytest.mark.parametrize("class_weights", [True, False])
def test_images_that_tell_nothing_cost_nothing_whatever_the_source(class_weights):
    counts = [900, 50, 50]
    term = Balance(MethodOptions(class_weights=class_weights), Setting(counts, 1000, 1, 1))
    # With class weights the answer to such images is even, without it has the source's shares.
    logits = torch.zeros(8, 3) if class_weights else torch.tensor(counts).log().repeat(8, 1)
    seen = Seen(torch.arange(8), Activations(logits, logits, logits, None), None)
    loss, _ = term(Outputs(seen, torch.zeros(8, dtype=torch.long), seen, torch.nn.Linear(1, 3), 0.0, None))
    assert loss.item() == 0
