import numpy as np
import pytest
import torch

from galmorph.training.data import UNLABELLED, Dataset
from galmorph.training.loaders import Batch, Pair, PairShuffle, Rows, ordered_batches, training_batches


def dataset(n, start, labelled=True):
    images = np.arange(start, start + n, dtype=np.float32)[:, None, None, None]
    labels = np.arange(n) % 3 if labelled else np.full(n, UNLABELLED)
    return Dataset(images, labels, np.full(n, ""), np.arange(n).astype(str), ("a", "b", "c"))


SOURCE = Rows(dataset(20, 0), np.arange(2, 18))
TARGET = Rows(dataset(9, 100, labelled=False), np.arange(1, 8))


def test_a_batch_knows_its_rows():
    (batch,) = training_batches(SOURCE, None, batch_size=16, seed=0, workers=0)
    assert isinstance(batch, Batch)
    assert sorted(batch.rows.tolist()) == list(range(16))
    assert torch.equal(batch.images[:, 0, 0, 0], batch.rows + 2.0)
    assert torch.equal(batch.labels, (batch.rows + 2) % 3)


def test_pairs_of_both_domains():
    loader = training_batches(SOURCE, TARGET, batch_size=5, seed=0, workers=0)
    pairs = list(loader)
    assert len(pairs) == 3
    for pair in pairs:
        assert isinstance(pair, Pair)
        assert len(pair.source.rows) == len(pair.target.rows) == 5
        assert torch.equal(pair.target.images[:, 0, 0, 0], pair.target.rows + 101.0)
        assert (pair.target.labels == UNLABELLED).all()
    source = torch.cat([pair.source.rows for pair in pairs]).tolist()
    assert len(set(source)) == 15


def test_the_source_comes_in_the_same_order_with_and_without_a_target():
    alone = torch.cat([b.rows for b in training_batches(SOURCE, None, batch_size=4, seed=3, workers=0)])
    paired = torch.cat([p.source.rows for p in training_batches(SOURCE, TARGET, batch_size=4, seed=3, workers=0)])
    assert torch.equal(alone, paired)


@pytest.mark.parametrize("target", [3, 10, 50])
def test_order_of_the_target(target):
    shuffle = PairShuffle(10, target, seed=1)
    first = list(shuffle)
    assert first == list(shuffle)
    assert len(first) == len(shuffle) == 10
    rows = [pair[1] for pair in first]
    # Every image is seen as often as any other, but for the last round.
    assert max(rows.count(row) for row in rows) <= -(-10 // target)
    assert set(rows) <= set(range(target))
    shuffle.set_epoch(1)
    assert list(shuffle) != first


def test_all_of_a_large_target_is_seen_in_time():
    shuffle, seen = PairShuffle(10, 50, seed=1), set()
    for epoch in range(60):
        shuffle.set_epoch(epoch)
        seen |= {pair[1] for pair in shuffle}
    assert seen == set(range(50))


def test_validation_is_in_order():
    rows = torch.cat([batch.rows for batch in ordered_batches(SOURCE, batch_size=5)])
    assert rows.tolist() == list(range(16))


@pytest.mark.parametrize(
    ("images", "processes", "dropped"), [(40, 1, True), (40, 2, False), (41, 2, True), (20, 1, False)]
)
def test_a_process_with_one_batch_keeps_it(images, processes, dropped):
    source = Rows(dataset(images, 0), np.arange(images))
    loader = training_batches(source, None, batch_size=20, seed=0, workers=0, processes=processes)
    assert loader.drop_last == dropped
