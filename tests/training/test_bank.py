import torch

from galmorph.training.bank import Bank
from galmorph.training.losses import NO_LABEL, Marks


def marks(rows, codes, labels):
    return Marks(torch.tensor(rows), torch.tensor(codes), torch.tensor(labels))


def test_rows_are_replaced_and_others_kept():
    bank = Bank(4, 2)
    bank.store(torch.tensor([[0.1, 0.9], [0.7, 0.3]]), marks([2, 0], [5, 6], [1, NO_LABEL]))
    bank.store(torch.tensor([[0.4, 0.6]]), marks([2], [8], [0]))
    torch.testing.assert_close(bank.probabilities, torch.tensor([[0.7, 0.3], [0, 0], [0.4, 0.6], [0, 0]]))
    assert bank.codes.tolist() == [6, 0, 8, 0]
    assert bank.labels.tolist() == [NO_LABEL, NO_LABEL, 0, NO_LABEL]
    assert bank.seen.tolist() == [True, False, True, False]


def test_only_what_was_seen_is_known():
    bank = Bank(4, 2)
    bank.store(torch.tensor([[0.1, 0.9], [0.7, 0.3]]), marks([3, 1], [5, 6], [1, NO_LABEL]))
    probabilities, known = bank.known()
    torch.testing.assert_close(probabilities, torch.tensor([[0.7, 0.3], [0.1, 0.9]]))
    assert [part.tolist() for part in known[:3]] == [[1, 3], [6, 5], [NO_LABEL, 1]]
    assert known.firsts is None


def test_a_resumed_training_finds_it_as_it_was():
    bank, again = Bank(4, 2), Bank(4, 2)
    bank.store(torch.tensor([[0.1, 0.9], [0.7, 0.3]]), marks([3, 1], [5, 6], [1, NO_LABEL]))
    again.load_state_dict(bank.state_dict())
    for one, other in zip(
        (bank.known()[0], *bank.known()[1][:3]), (again.known()[0], *again.known()[1][:3]), strict=True
    ):
        assert torch.equal(one, other)


def test_nothing_in_it_has_a_gradient():
    bank, p = Bank(2, 2), torch.rand(1, 2, requires_grad=True)
    bank.store(p, marks([0], [0], [0]))
    assert not bank.probabilities.requires_grad


def test_half_precision_is_kept_in_float32():
    bank, p = Bank(2, 2), torch.tensor([[0.25, 0.75]], dtype=torch.bfloat16)
    bank.store(p, marks([1], [0], [0]))
    assert bank.known()[0].tolist() == [[0.25, 0.75]]
    assert bank.probabilities.dtype == torch.float32


def test_forty_thousand_images_of_ten_classes_are_small():
    size = sum(buffer.numel() * buffer.element_size() for buffer in Bank(40_000, 10).buffers())
    assert size == 40_000 * (4 * 10 + 8 + 8 + 1)
    assert size < 50e6
