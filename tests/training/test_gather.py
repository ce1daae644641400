import torch
from torch import distributed, multiprocessing

from galmorph.training.bank import Bank
from galmorph.training.gather import gather
from galmorph.training.losses import Marks


def test_alone_the_rows_are_what_they_are():
    values = torch.rand(3, 2, requires_grad=True)
    assert torch.equal(gather(values), values)
    assert not gather(values).requires_grad


def work(rank, store, out):
    """One process of two: stores rows of its own, and writes what its bank then holds."""
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    bank = Bank(4, 2)
    rows = torch.tensor([rank, 2 + rank])
    bank.store(torch.full((2, 2), rank + 0.25), Marks(rows, rows * 10, rows))
    torch.save([bank.probabilities, bank.codes, bank.labels, bank.seen], f"{out}/{rank}.pt")
    distributed.destroy_process_group()


def test_the_bank_is_the_same_on_all_processes(tmp_path):
    multiprocessing.spawn(work, args=(tmp_path / "store", tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert first[0][:, 0].tolist() == [0.25, 1.25, 0.25, 1.25]
    assert first[1].tolist() == [0, 10, 20, 30]
    assert first[3].all()
