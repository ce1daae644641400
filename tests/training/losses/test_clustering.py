import itertools
import math

import pytest
import torch

from galmorph.training.losses import clustering_loss, pair_scores, rank_codes


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


def test_by_hand():
    """One pair alike with 0.8, one unlike with 0.4, one that does not count."""
    scores = torch.tensor([[0.8, 0.4, 0.1]])
    similar, counted = torch.tensor([[True, False, True]]), torch.tensor([[True, True, False]])
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert clustering_loss(scores, similar, counted).item() == pytest.approx(expected)


def test_scores_are_the_probability_of_the_same_class():
    p = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    assert pair_scores(p, p).tolist() == [[0.5, 0.5], [0.5, 1.0]]


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("similar", [True, False])
def test_certain_pairs_are_finite(score, similar):
    scores = torch.tensor([[score]], requires_grad=True)
    value = clustering_loss(scores, torch.tensor([[similar]]), torch.tensor([[True]]))
    value.backward()
    assert value.isfinite()
    assert scores.grad.isfinite().all()


def test_no_pair():
    scores = torch.tensor([[0.5]], requires_grad=True)
    value = clustering_loss(scores, torch.tensor([[True]]), torch.tensor([[False]]))
    value.backward()
    assert value.item() == 0
    assert scores.grad.item() == 0
