"""The target's mix of classes, estimated from answers."""

import pytest
import torch

from galmorph.training.method_options import MethodOptions
from galmorph.training.networks import Activations
from galmorph.training.outputs import Outputs, Seen
from galmorph.training.target_mix import MOST, RENEWED, TargetMix
from galmorph.training.terms import Coral, DomainAdversary, Mmd, Setting


def answers(shares, n=400, noise=1.0, seed=0):
    """Logits of a calibrated classifier of Gaussian classes whose training set had even shares."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(shares), n, replacement=True, generator=draw)
    seen = torch.eye(len(shares))[labels] * 2 + noise * torch.randn(n, len(shares), generator=draw)
    return 2 * seen / noise**2


def test_a_step_by_hand():
    mix = TargetMix([30, 10], even=False)
    mix.renew(torch.tensor([[0.6, 0.4], [0.2, 0.8]]).log())
    assert mix.target.tolist() == pytest.approx([0.75 + RENEWED * (0.4 - 0.75), 0.25 + RENEWED * (0.6 - 0.25)])
    once = mix.target.clone()
    ratio = mix.ratio().tolist()
    mix.renew(torch.tensor([[0.5, 0.5]]).log())
    first = ratio[0] / (ratio[0] + ratio[1])
    assert mix.target[0].item() == pytest.approx(once[0].item() + RENEWED * (first - once[0].item()))


@pytest.mark.parametrize("shares", [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]])
def test_another_mix_is_found_though_answers_are_unsure(shares):
    mix, naive = TargetMix([100, 100, 100], even=True), []
    for seed in range(150):
        logits = answers(shares, seed=seed)
        naive.append(logits.softmax(dim=1).mean(dim=0))
        mix.renew(logits)
    found, expected = mix.target, torch.tensor(shares)
    assert found.sum().item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)
    # The mean of the answers lies between the two mixes.
    assert (found - expected).abs().max() <= (torch.stack(naive).mean(dim=0) - expected).abs().max() + 0.01


@pytest.mark.parametrize("counts", [[800, 100, 100], [100, 300, 600]])
@pytest.mark.parametrize("shares", [[0.6, 0.2, 0.2], [0.3, 0.3, 0.4]])
def test_a_source_of_uneven_classes_does_not_mislead(counts, shares):
    # Class weights made the answers those of even classes; without weights they are those of the source's.
    weighted, plain = TargetMix(counts, even=True), TargetMix(counts, even=False)
    for seed in range(150):
        logits = answers(shares, seed=seed)
        weighted.renew(logits)
        plain.renew(logits + torch.tensor(counts).log())
    torch.testing.assert_close(weighted.target, torch.tensor(shares), atol=0.03, rtol=0)
    torch.testing.assert_close(plain.target, weighted.target, atol=1e-5, rtol=0)


@pytest.mark.parametrize("class_weights", [True, False])
def test_the_estimate_knows_what_the_network_takes_for_granted(class_weights):
    term = Mmd(MethodOptions(class_weights=class_weights), Setting([300, 100], 400, 1, 1))
    assert term.mix.granted.tolist() == pytest.approx([0.5, 0.5] if class_weights else [0.75, 0.25])


def test_an_image_counts_by_the_ratio_of_the_mixes_within_bounds():
    mix = TargetMix([50, 30, 20], even=True)
    assert mix.weights(torch.tensor([0, 1, 2, 0])).tolist() == pytest.approx([1, 1, 1, 1])
    mix.target.copy_(torch.tensor([0.25, 0.75, 0.0]))
    assert mix.weights(torch.tensor([0, 1, 2])).tolist() == pytest.approx([0.5, 2.5, 1 / MOST])
    mix.target.copy_(torch.tensor([0.0, 0.0, 1.0]))
    assert mix.weights(torch.tensor([0, 1, 2])).tolist() == pytest.approx([0.2, 0.2, 5])


def test_answers_in_half_precision_are_taken_in():
    whole, half = TargetMix([1, 3], even=True), TargetMix([1, 3], even=True)
    logits = torch.tensor([[2.0, -1.0], [0.5, 0.25]])
    whole.renew(logits)
    half.renew(logits.bfloat16())
    assert torch.equal(half.target, whole.target)


def test_an_empty_batch_changes_nothing():
    mix = TargetMix([1, 3], even=True)
    mix.renew(torch.zeros(0, 2))
    assert mix.target.tolist() == [0.25, 0.75]


def test_the_estimate_has_no_gradient():
    mix = TargetMix([1, 3], even=True)
    mix.renew(torch.zeros(5, 2, requires_grad=True))
    assert not mix.weights(torch.tensor([0, 1])).requires_grad


def test_the_estimate_goes_on_from_a_checkpoint():
    one, other = TargetMix([1, 1, 1], even=True), TargetMix([1, 1, 1], even=True)
    one.renew(answers([0.8, 0.1, 0.1]))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.target, other.target)
    assert list(one.state_dict()) == ["target"]


def outputs(mix):
    """A source of two even classes at 0 and 4, and a target of the same two in another mix."""
    draw = torch.Generator().manual_seed(0)

    def seen(n, first):
        labels = (torch.arange(n) >= first * n).long()
        places = 4.0 * labels[:, None] + 0.5 * torch.randn(n, 1, generator=draw)
        logits = torch.stack([4 - places[:, 0], places[:, 0]], dim=1) * 4
        return Seen(torch.arange(n), Activations(places, places, logits, None), None), labels

    (source, labels), (target, _) = seen(200, 0.5), seen(200, mix)
    return Outputs(source, labels, target, torch.nn.Linear(1, 2), 0.0, None)


@pytest.mark.parametrize("term", [Mmd, Coral])
def test_a_target_that_differs_by_its_mix_alone_costs_nothing(term):
    given = outputs(0.8)
    setting = Setting([100, 100], 200, 1, 1)
    estimated, printed = (term(MethodOptions(target_mix=which), setting) for which in ("estimated", "source"))
    for _ in range(100):
        estimated(given)
    assert estimated(given)[0] < 0.1 * printed(given)[0]
    assert printed.mix is None


def test_a_discriminator_is_told_nothing_by_the_mix():
    given = outputs(0.8)
    torch.manual_seed(0)
    term = DomainAdversary(MethodOptions(), Setting([100, 100], 200, 1, 1))
    learn = torch.optim.Adam(term.discriminator.parameters(), 1e-2)
    for _ in range(150):
        learn.zero_grad()
        loss, _ = term(given)
        loss.backward()
        learn.step()
    assert loss.item() == pytest.approx(0.693, abs=0.02)
