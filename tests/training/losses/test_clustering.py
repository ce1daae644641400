import itertools
import math

import pytest
import torch

from galmorph.training.losses import NO_LABEL, Marks, clustering_loss, rank_codes
from galmorph.training.losses import clustering as module


def test_ordered_codes_agree_when_the_order_of_the_largest_does():
    values = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.6, 0.2, 0.12, 0.08], [0.3, 0.5, 0.15, 0.05]])
    ordered = rank_codes(values, 2, ordered=True)
    assert ordered[0] == ordered[1] != ordered[2]
    assert len(rank_codes(values, 2, ordered=False).unique()) == 1
    assert rank_codes(values, 1, ordered=False)[0] != rank_codes(values, 1, ordered=False)[2]


@pytest.mark.parametrize("ordered", [True, False])
def test_codes_are_the_comparison_of_each_pair(ordered):
    values = torch.rand(60, 5, generator=torch.Generator().manual_seed(0))
    codes = rank_codes(values, 3, ordered=ordered)
    for i, j in itertools.combinations(range(60), 2):
        first, second = (values[n].argsort(descending=True)[:3].tolist() for n in (i, j))
        agree = first == second if ordered else set(first) == set(second)
        assert (codes[i] == codes[j]).item() == agree


def test_codes_of_long_features_do_not_collide():
    """2048 positions to the seventh power have no room in 64 bits."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3000, 2048, generator=generator)
    codes = rank_codes(values, 7, ordered=True)
    places = values.topk(7, dim=1).indices
    assert len(codes.unique()) == len(places.unique(dim=0))


@pytest.mark.parametrize(("top", "place"), [*((7, place) for place in range(7)), *((6, place) for place in range(6))])
def test_every_rank_of_long_features_counts(top, place):
    """Also the first, which whole powers of two would push out of the 64 bits."""
    first, second = list(range(top)), list(range(top))
    second[place] = 1024
    values = torch.zeros(2, 2048)
    for row, order in enumerate((first, second)):
        values[row, order] = torch.arange(float(top), 0.0, -1.0)
    codes = rank_codes(values, top, ordered=True)
    assert codes[0] != codes[1]


def marks(rows, codes, labels=None):
    """Unlabelled unless told otherwise."""
    return Marks(*map(torch.tensor, (rows, codes, [NO_LABEL] * len(rows) if labels is None else labels)))


def test_by_hand():
    """One pair alike with 0.8, one unlike with 0.5 x 0.2 + 0.5 x 0.8, one of the image with itself."""
    first, second = torch.tensor([[0.8, 0.2]]), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.3, 0.7]])
    loss, rate = clustering_loss(first, second, marks([2], [7]), marks([0, 1, 2], [7, 8, 7]))
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.5)) / 2)
    assert rate.item() == 0.5


def test_labels_go_before_codes_where_both_have_one():
    first, second = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.6, 0.4]] * 3)
    others = marks([1, 2, 3], [5, 6, 5], [3, 4, NO_LABEL])
    score = 0.9 * 0.6 + 0.1 * 0.4
    loss, rate = clustering_loss(first, second, marks([0], [5], [4]), others)
    # Unlike, though the codes agree; alike, though they differ; alike by code.
    assert loss.item() == pytest.approx(-(math.log(1 - score) + 2 * math.log(score)) / 3)
    assert rate.item() == 1


def test_pairs_that_agree_in_what_comes_first_alone_are_left_out():
    first, second = torch.tensor([[0.8, 0.2]]), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.3, 0.7], [0.6, 0.4]])
    others = marks([1, 2, 3, 4], [7, 8, 9, 8], [NO_LABEL] * 4)._replace(firsts=torch.tensor([0, 0, 1, 0]))
    mine = marks([0], [7])._replace(firsts=torch.tensor([0]))
    loss, rate = clustering_loss(first, second, mine, others)
    # Alike with 0.8; ambiguous; unlike with 0.8 x 0.3 + 0.2 x 0.7 = 0.38; ambiguous.
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(1 - 0.38)) / 2)
    assert rate.item() == 0.5
    # Of two labelled images the labels decide, whatever they rank.
    labelled = mine._replace(labels=torch.tensor([1])), others._replace(labels=torch.tensor([1, 0, 0, NO_LABEL]))
    loss, _ = clustering_loss(first, second, *labelled)
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(1 - 0.5) + math.log(1 - 0.38)) / 3)


def formula(first, second, mine, others):
    """All pairs one at a time, differentiated by torch."""
    values, alike_without = [], []
    for i in range(len(first)):
        for j in range(len(second)):
            if mine.rows[i] == others.rows[j]:
                continue
            alike = mine.codes[i] == others.codes[j]
            both = mine.labels[i] != NO_LABEL and others.labels[j] != NO_LABEL
            if mine.firsts is not None and not both and not alike and mine.firsts[i] == others.firsts[j]:
                continue
            if both:
                alike = mine.labels[i] == others.labels[j]
            else:
                alike_without.append(bool(alike))
            score = first[i] @ second[j]
            values.append(-torch.log((score if alike else 1 - score).clamp(1e-6, 1.0)))
    return torch.stack(values).mean(), sum(alike_without) / len(alike_without)


@pytest.mark.parametrize("firsts", [True, False])
@pytest.mark.parametrize("pairs", [10**6, 13, 1])
def test_value_and_gradient_of_the_formula_however_many_at_a_time(monkeypatch, pairs, firsts):
    monkeypatch.setattr(module, "PAIRS", pairs)
    generator = torch.Generator().manual_seed(1)
    first, second = ((4 * torch.randn(n, 3, generator=generator, dtype=torch.float64)).softmax(1) for n in (7, 23))
    first[0], second[5], second[6] = (torch.tensor(row).double() for row in ([1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]))
    first.requires_grad_(True)
    mine, others = (
        Marks(
            torch.randperm(30, generator=generator)[:n],
            torch.randint(0, 3, (n,), generator=generator),
            torch.randint(-1, 2, (n,), generator=generator),
            torch.randint(0, 2, (n,), generator=generator) if firsts else None,
        )
        for n in (7, 23)
    )
    loss, rate = clustering_loss(first, second, mine, others)
    expected, expected_rate = formula(first, second, mine, others)
    torch.testing.assert_close(loss, expected)
    assert rate.item() == pytest.approx(expected_rate)
    assert not rate.requires_grad
    torch.testing.assert_close(*(torch.autograd.grad(3 * value, first)[0] for value in (loss, expected)))


@pytest.mark.parametrize("second", [[0.0, 1.0], [1.0, 0.0]])
@pytest.mark.parametrize("code", [0, 1])
def test_certain_pairs_are_finite(second, code):
    first = torch.tensor([[1.0, 0.0]], requires_grad=True)
    loss, _ = clustering_loss(first, torch.tensor([second]), marks([0], [code]), marks([1], [0]))
    loss.backward()
    assert loss.isfinite()
    assert first.grad.isfinite().all()


@pytest.mark.parametrize(("code", "second"), [(0, [1e-9, 1.0, 0.0]), (1, [1.0, 1e-9, 0.0])])
def test_pairs_that_are_wrong_beyond_the_bounds_have_no_gradient(code, second):
    """Alike by code with a score of nearly 0, and unlike with one of nearly 1: 1e9 would be their slope."""
    first = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    second = torch.tensor([second], dtype=torch.float64)
    second = second if code == 0 else second / (1 + 1e-9)
    loss, _ = clustering_loss(first, second, marks([0], [0]), marks([1], [code]))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-6))
    assert first.grad.tolist() == [[0, 0, 0]]


def test_where_only_one_side_knows_what_ranks_first_no_pair_is_left_out():
    first, second = torch.tensor([[0.8, 0.2]]), torch.tensor([[0.5, 0.5]])
    mine = marks([0], [7])._replace(firsts=torch.tensor([0]))
    for one, other in ((mine, marks([1], [8])), (marks([0], [7]), marks([1], [8])._replace(firsts=torch.tensor([0])))):
        loss, rate = clustering_loss(first, second, one, other)
        assert loss.item() == pytest.approx(math.log(2))
        assert rate.item() == 0


@pytest.mark.parametrize("others", [1, 0])
def test_no_pair(others):
    first = torch.tensor([[0.5, 0.5]], requires_grad=True)
    loss, rate = clustering_loss(
        first, torch.full((others, 2), 0.5), marks([4], [0]), marks([4] * others, [0] * others)
    )
    loss.backward()
    assert loss.item() == rate.item() == 0
    assert first.grad.tolist() == [[0, 0]]
