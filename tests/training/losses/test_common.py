"""What every loss owes: right gradients, finite at the edges, float32 under mixed precision, no order of samples."""

import math

import pytest
import torch

from galmorph.training.losses import (
    NO_LABEL,
    Marks,
    class_centroids,
    class_confusion,
    clustering_loss,
    coral,
    domain_loss,
    entropy_minimisation,
    entropy_separation,
    fisher_ratio,
    mmd,
    multilinear_map,
    neighbourhood_loss,
    one_vs_all_loss,
    open_entropy,
    randomised_map,
    stranger_loss,
    vanishing_loss,
)

N, D, K = 6, 4, 3
LABELS = torch.tensor([0, 1, 2, 0, 1, 0])


def draw(*shape, seed=0):
    """Normal numbers that every precision holds exactly."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16().double()


def labels_for(values):
    return LABELS[: len(values)]


def weights_for(values):
    """One of them nothing, as of a class that the target has not."""
    return torch.tensor([0.0, 2.0, 0.5, 1.0, 3.0, 0.25])[: len(values)].to(values.dtype)


def fisher(features):
    return fisher_ratio(features, labels_for(features), *class_centroids(features, labels_for(features), K), 0.01)


def pairs(logits):
    """With five others, of which one is an image of the batch."""
    others = draw(5, K, seed=1).softmax(dim=1).to(logits.dtype)
    rows, codes = torch.arange(len(logits)), torch.arange(len(logits)) % 2
    mine = Marks(rows, codes, labels_for(logits))
    theirs = Marks(torch.arange(5, 10), torch.arange(5) % 2, torch.tensor([0, 1, 2, NO_LABEL, NO_LABEL]))
    return clustering_loss(logits.softmax(dim=1), others, mine, theirs)[0]


def neighbours(features):
    memory = 0.5 * torch.eye(D).repeat(2, 1).to(features.dtype)
    return neighbourhood_loss(features, memory, draw(K, D).to(features.dtype), torch.arange(len(features)))


def randomised(features):
    first, second = draw(D, 9).to(features.dtype), draw(D, 9, seed=1).to(features.dtype)
    return randomised_map(features, features.softmax(dim=1), first, second).pow(2).sum()


#: A loss as a function of one tensor, and the shape of a sample.
LOSSES = {
    "mmd": (lambda x: mmd(x, draw(5, D, seed=1).to(x.dtype)), (D,)),
    "coral": (lambda x: coral(x, draw(5, D, seed=1).to(x.dtype)), (D,)),
    "domain": (lambda x: domain_loss(x, draw(5, 1, seed=1).to(x.dtype)), (1,)),
    "weighted mmd": (lambda x: mmd(x, draw(5, D, seed=1).to(x.dtype), weights=weights_for(x)), (D,)),
    "weighted coral": (lambda x: coral(x, draw(5, D, seed=1).to(x.dtype), weights_for(x)), (D,)),
    "weighted domain": (lambda x: domain_loss(x, draw(5, 1, seed=1).to(x.dtype), weights_for(x)), (1,)),
    "fisher": (fisher, (D,)),
    "entropy": (entropy_minimisation, (K,)),
    "separation": (lambda x: entropy_separation(x, 0.55, 0.1), (K,)),
    "clustering": (pairs, (K,)),
    "confusion": (lambda x: class_confusion(x, 2.5), (K,)),
    "balance": (lambda x: vanishing_loss(x, torch.tensor([0.5, 0.3, 0.2]).to(x.dtype), 1.0), (K,)),
    "neighbourhood": (neighbours, (D,)),
    "one_vs_all": (lambda x: one_vs_all_loss(x, labels_for(x)), (K, 2)),
    "open_entropy": (open_entropy, (K, 2)),
    "strangers": (stranger_loss, (K,)),
    "multilinear": (lambda x: multilinear_map(x, x.softmax(dim=1)).pow(2).sum(), (D,)),
    "randomised": (randomised, (D,)),
}

#: Losses that are handed something which the helpers above compute in the precision of the test.
PREPARED = ("clustering", "multilinear", "randomised")


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


# Class confusion holds its weights constant: of them there is, on purpose, no gradient.
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "confusion"])
def test_gradient(name):
    function, shape = LOSSES[name]
    assert torch.autograd.gradcheck(function, (draw(N, *shape).requires_grad_(True),))


def test_order_of_samples_does_not_matter():
    order = torch.tensor([3, 0, 1, 5, 4, 2])
    for name in ("mmd", "coral", "domain", "entropy", "separation", "confusion", "balance", "open_entropy"):
        function, shape = LOSSES[name]
        x = draw(N, *shape)
        torch.testing.assert_close(function(x), function(x[order]))


@pytest.mark.parametrize("samples", [0, 1, 2])
def test_few_samples(loss, samples):
    function, shape = loss
    x = draw(samples, *shape).requires_grad_(True)
    value = function(x)
    value.backward()
    assert math.isfinite(value.item())
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("loss", [mmd, coral])
@pytest.mark.parametrize("samples", [(0, 5), (1, 5), (5, 0), (5, 1), (0, 0)])
def test_of_fewer_than_two_samples_no_distribution_is_known(loss, samples):
    source, target = (draw(n, D, seed=n).requires_grad_(True) for n in samples)
    value = loss(source, target)
    value.backward()
    assert value.item() == 0
    assert not source.grad.any()
    assert not target.grad.any()


@pytest.mark.parametrize("size", [1e3, 1e5])
def test_extreme_values(loss, size):
    """Probabilities that underflow to 0."""
    function, shape = loss
    x = (size * draw(N, *shape)).float().requires_grad_(True)
    value = function(x)
    value.backward()
    assert math.isfinite(value.item())
    assert x.grad.isfinite().all()


def test_samples_that_are_all_the_same(loss):
    function, shape = loss
    x = draw(1, *shape).repeat(N, *[1] * len(shape)).requires_grad_(True)
    value = function(x)
    value.backward()
    assert math.isfinite(value.item())
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in PREPARED])
def test_half_precision_is_computed_in_float32(name, half):
    function, shape = LOSSES[name]
    x = draw(N, *shape).to(half)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = function(x)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), function(x.double()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", [mmd, coral, domain_loss])
def test_what_is_given_by_name_is_computed_in_float32_too(loss):
    source, target = (draw(N, 1, seed=seed).bfloat16() for seed in range(2))
    value = loss(source=source, target=target)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(source, target))


def paired(first, second):
    """Unlike pairs and alike ones, of images of two sets."""
    none = torch.full((len(first),), NO_LABEL)
    mine, theirs = (Marks(torch.arange(N) + start, torch.arange(N) % 2, none) for start in (0, N))
    return clustering_loss(first, second, mine, theirs)[0]


@pytest.mark.parametrize("function", [multilinear_map, randomised_map, paired])
def test_what_is_given_in_half_precision_is_multiplied_in_float32(function):
    features, first, second = (draw(N, D, seed=seed).bfloat16() for seed in range(3))
    given = features, second.softmax(dim=1)
    if function is randomised_map:
        given = *given, first.T, second.T
    elif function is paired:
        given = first.softmax(dim=1), second.softmax(dim=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = function(*given)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), function(*(each.double() for each in given)), rtol=1e-4, atol=1e-5)


#: Means over samples, of which each may be any.
MEANS = {name: LOSSES[name][0] for name in ("entropy", "separation", "balance", "confusion", "open_entropy")} | {
    "one_vs_all": lambda x: one_vs_all_loss(x, torch.ones(len(x), dtype=torch.int64)),
    "domain": lambda x: domain_loss(x, x[:0]),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_sample_alone_costs_what_it_does_many_times(name):
    x = draw(1, *LOSSES[name][1])
    torch.testing.assert_close(MEANS[name](x), MEANS[name](x.repeat(5, *[1] * (x.ndim - 1))))
