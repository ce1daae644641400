import torch
from torch import distributed, multiprocessing

from galmorph.training.bank import Bank
from galmorph.training.gather import Collected, gather
from galmorph.training.losses import Marks


def test_alone_the_rows_are_what_they_are():
    values = torch.rand(3, 2, requires_grad=True)
    assert torch.equal(gather(values), values)
    assert not gather(values).requires_grad


def test_of_each_image_one_row_in_the_order_of_the_images():
    collected = Collected()
    collected.add(torch.tensor([5, 1]), torch.tensor([[0.5], [0.1]], requires_grad=True), torch.tensor([50, 10]))
    collected.add(torch.tensor([3, 5]), torch.tensor([[0.3], [0.5]]), torch.tensor([30, 50]))
    values, labels = collected.take()
    torch.testing.assert_close(values, torch.tensor([[0.1], [0.3], [0.5]]))
    assert not values.requires_grad
    assert labels.tolist() == [10, 30, 50]
    assert collected.take() == []


def work(rank, store, out):
    """One process of two: stores rows of its own, and writes what its bank then holds and what was collected."""
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    bank = Bank(4, 2)
    rows = torch.tensor([rank, 2 + rank])
    bank.store(torch.full((2, 2), rank + 0.25), Marks(rows, rows * 10, rows))
    collected = Collected()
    # Of three images that two processes share, one has a turn more.
    shared = torch.tensor([[0, 2], [1, 0]][rank])
    collected.add(shared, shared * 10)
    torch.save([bank.probabilities, bank.codes, bank.labels, bank.seen, *collected.take()], f"{out}/{rank}.pt")
    distributed.destroy_process_group()


def test_bank_and_collection_are_the_same_on_all_processes(tmp_path):
    multiprocessing.spawn(work, args=(tmp_path / "store", tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert first[0][:, 0].tolist() == [0.25, 1.25, 0.25, 1.25]
    assert first[1].tolist() == [0, 10, 20, 30]
    assert first[3].all()
    assert first[4].tolist() == [0, 10, 20]
