import math

import pytest
import torch

from galmorph.training.losses import active_fraction, entropy, entropy_minimisation, entropy_separation


def logits_of(*probabilities):
    return torch.tensor(probabilities).log()


def test_entropy_by_hand():
    values = entropy(logits_of([0.5, 0.5], [0.25, 0.75], [1.0, 0.0]))
    expected = [math.log(2), -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))]
    assert values[:2].tolist() == pytest.approx(expected)


def test_probability_of_zero():
    logits = torch.tensor([[0.0, -1e5]], requires_grad=True)
    entropy(logits).sum().backward()
    assert entropy(logits).item() == 0
    assert logits.grad.isfinite().all()


def test_minimisation_is_the_mean():
    assert entropy_minimisation(logits_of([0.5, 0.5], [0.999999, 1e-6])).item() == pytest.approx(
        math.log(2) / 2, abs=1e-4
    )


def test_separation_by_hand():
    """Entropies ln 2 and 0.5623, boundary 0.3: only the first is further than 0.3 from it."""
    logits = logits_of([0.5, 0.5], [0.25, 0.75])
    assert entropy_separation(logits, 0.3, 0.3).item() == pytest.approx(-(math.log(2) - 0.3) / 2)
    assert active_fraction(logits, 0.3, 0.3).item() == 0.5
    assert entropy_separation(logits, 0.3, 1.0).item() == 0
    # A certain one is as far below the boundary as the boundary is above 0.
    logits = torch.cat([logits, logits_of([1.0, 1e-12])])
    assert entropy_separation(logits, 0.3, 0.28).item() == pytest.approx(-(math.log(2) - 0.3 + 0.3) / 3)
    assert active_fraction(logits, 0.3, 0.28).item() == pytest.approx(2 / 3)
    assert active_fraction(logits[:1], 0.3, 0.28).item() == 1


def test_of_nothing_no_share_is_active():
    assert active_fraction(torch.zeros(0, 3), 0.5, 0.1).item() == 0


@pytest.mark.parametrize(("probabilities", "sign"), [([0.97, 0.03], -1), ([0.6, 0.4], 1)])
def test_separation_pushes_away_from_the_boundary(probabilities, sign):
    logits = logits_of(probabilities).requires_grad_(True)
    before = entropy(logits).item()
    entropy_separation(logits, math.log(2) / 2, 0.05).backward()
    after = entropy(logits - 0.1 * logits.grad).item()
    assert math.copysign(1, after - before) == sign


@pytest.mark.parametrize("classes", [2, 3, 9, 10])
def test_same_gradient_as_the_form_of_dance(classes):
    """DANCE's -mean(max(|H - rho|, m)) differs by a value that has no gradient."""
    logits = torch.randn(20, classes, generator=torch.Generator().manual_seed(classes), requires_grad=True)
    rho, margin = math.log(classes) / 2, 0.1
    (ours,) = torch.autograd.grad(entropy_separation(logits, rho, margin), logits)
    theirs_value = -torch.clamp((entropy(logits) - rho).abs(), min=margin).mean()
    (theirs,) = torch.autograd.grad(theirs_value, logits)
    torch.testing.assert_close(ours, theirs)
