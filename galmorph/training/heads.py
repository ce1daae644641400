"""The last layers of networks: features in, logits out."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Divides the cosines of `CosineHead` (DANCE, Saito et al. 2020).
COSINE_TEMPERATURE = 0.05


class CosineHead(nn.Module):
    """Logits as cosines between features and class prototypes, over a temperature of 0.05.

    Parameters
    ----------
    features : int
        d.
    classes : int
        K.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(n, K)`` of features ``(n, d)``; the length of a feature vector does not matter."""
        cosines = functional.linear(functional.normalize(features, dim=1), functional.normalize(self.weight, dim=1))
        return cosines / COSINE_TEMPERATURE


class OpenHead(nn.Module):
    """A classifier of each class against all others (OVANet).

    Parameters
    ----------
    features : int
        d.
    classes : int
        K.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.linear = nn.Linear(features, 2 * classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(n, K, 2)``: not of the class, of the class."""
        logits: Tensor = self.linear(features)
        return logits.reshape(-1, self.classes, 2)
