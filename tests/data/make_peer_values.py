"""Values of losses by other libraries, for ours to be compared with.

Run in an environment of its own, and commit what it writes:
``pip install pytorch-adapt==0.0.83 skada==0.6.0 torch skorch POT && python tests/data/make_peer_values.py``.
"""

import json
from pathlib import Path
from typing import Any

import torch

OUT = Path(__file__).with_name("peer_values.json")
VARIANCES = [0.01, 0.1, 1.0, 5.0, 10.0, 100.0]
TEMPERATURE = 2.5
STRENGTH = 0.7


def make_inputs() -> dict[str, torch.Tensor]:
    """Features of two domains, logits of a target batch."""
    generator = torch.Generator().manual_seed(7)
    return {
        "source": torch.randn(9, 5, generator=generator, dtype=torch.float64),
        "target": 1.5 * torch.randn(7, 5, generator=generator, dtype=torch.float64) + 0.5,
        "logits": 3 * torch.randn(8, 4, generator=generator, dtype=torch.float64),
    }


def peer_values(inputs: dict[str, torch.Tensor]) -> dict[str, Any]:
    """What pytorch-adapt and skada give."""
    from pytorch_adapt.layers import CORALLoss, EntropyLoss, GradientReversal, MCCLoss, MMDLoss
    from skada.deep.losses import deepcoral_loss, mcc_loss

    source, target, logits = inputs["source"], inputs["target"], inputs["logits"]
    scales = 1 / (2 * torch.tensor(VARIANCES, dtype=torch.float64))
    kernels = MMDLoss(kernel_scales=scales, mmd_type="quadratic", bandwidth=1.0)
    leaf = source.clone().requires_grad_(True)
    GradientReversal(STRENGTH)(leaf).pow(2).sum().backward()
    return {
        "pytorch-adapt mmd": float(kernels(source, target)),
        "pytorch-adapt coral": float(CORALLoss()(source, target)),
        "pytorch-adapt confusion": float(MCCLoss(TEMPERATURE)(logits)),
        "pytorch-adapt entropy": float(EntropyLoss()(logits)),
        "pytorch-adapt reversed": leaf.grad.tolist(),
        "skada coral": float(deepcoral_loss(source, target)),
        "skada confusion": float(mcc_loss(logits, T=TEMPERATURE)),
    }


if __name__ == "__main__":
    tensors = make_inputs()
    content = {"inputs": {name: value.tolist() for name, value in tensors.items()}, "values": peer_values(tensors)}
    OUT.write_text(json.dumps(content, indent=1) + "\n")
