"""The stretch: from calibrated surface brightness to what a network sees, as a part of the network.

It is exported with the network, so that training and a survey run cannot differ. Its numbers are fitted on the
training part only and stored in the manifest. The result is finite for any finite input.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from galmorph.errors import DataError
from galmorph.training.options import StretchOptions

#: Fluxes beyond this many softenings are cut: far above any galaxy, far below where float32 squares overflow.
LIMIT = 1e5

#: Percentile of the brightness that is brought to 1.
REFERENCE_PERCENTILE = 99.5

#: Percentiles that ``percentile`` cuts to, and its factor in the arcsinh (Ćiprijanović et al. 2022, LSST mocks).
CUT_PERCENTILES = (0.1, 99.9)
CUT_STRENGTH = 0.85

#: Images from which the numbers are fitted; more do not change them.
LARGEST_SAMPLE = 4096


class Stretch(nn.Module):
    """Stretch of images in surface brightness.

    With ``u_b = x_b / softening_b``:

    - ``asinh``: ``asinh(u_b) / scale``, each band by itself;
    - ``lupton``: ``u_b asinh(I) / (I scale)`` with `I` the mean of `u` over bands (Lupton et al. 2004, section 2.2),
      which keeps the ratios of bands;
    - ``linear``: ``(x - low) / (high - low)``, cut to 0 and 1;
    - ``percentile``: ``(asinh(x_b / softening_b) + 1) / 2`` with `x` cut to `limits`.

    Parameters
    ----------
    kind : {"asinh", "lupton", "linear", "percentile"}
        Which.
    softening : sequence of float
        Per band, in the unit of the images; for ``linear`` ``high - low``.
    offset : float
        Subtracted first; `low` for ``linear``, else 0.
    scale : float
        Divides the result.
    limits : sequence of pairs of float
        Lowest and highest value of each band, for ``percentile``.
    """

    softening: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(
        self,
        kind: str,
        softening: list[float],
        offset: float = 0.0,
        scale: float = 1.0,
        limits: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        self.kind = kind
        self.offset = float(offset)
        self.scale = float(scale)
        values = torch.tensor(softening, dtype=torch.float32).reshape(1, -1, 1, 1)
        # Not part of the weights: `to_dict` is the one place where these numbers are kept.
        self.register_buffer("softening", values, persistent=False)
        ends = torch.tensor(limits, dtype=torch.float32).reshape(1, -1, 2, 1, 1)
        self.register_buffer("lowest", ends[:, :, 0], persistent=False)
        self.register_buffer("highest", ends[:, :, 1], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Stretched images.

        Parameters
        ----------
        images : Tensor
            Shape ``(n, bands, N, N)``.

        Returns
        -------
        Tensor
            Same shape.
        """
        if self.kind == "percentile":
            u = torch.minimum(torch.maximum(images, self.lowest), self.highest) / self.softening
            return (u * _asinh_ratio(u) + 1) / 2
        u = (images - self.offset) / self.softening
        if self.kind == "linear":
            return u.clamp(0, 1)
        u = u.clamp(-LIMIT, LIMIT)
        return u * _asinh_ratio(u if self.kind == "asinh" else u.mean(dim=1, keepdim=True)) / self.scale

    def to_dict(self) -> dict[str, Any]:
        """Everything needed to make it again."""
        return {
            "kind": self.kind,
            "softening": [float(value) for value in self.softening.flatten()],
            "offset": self.offset,
            "scale": self.scale,
            "limits": torch.cat([self.lowest, self.highest], dim=2).flatten(2)[0].tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Stretch":
        """Stretch from the result of `to_dict`."""
        return cls(
            values["kind"], list(values["softening"]), values["offset"], values["scale"], values.get("limits", ())
        )


def _asinh_ratio(u: Tensor) -> Tensor:
    """``asinh(u) / u`` of a bounded tensor, in operations that every ONNX runtime has, and has fast, on every device.

    It is even and tends to 1 at 0: of `|u|` kept off 0, where float32 gives that to 1e-4.
    """
    size = u.abs().clamp(min=1e-3)
    return torch.log(size + torch.sqrt(size * size + 1)) / size


def fit_stretch(images: NDArray[np.float32], rows: NDArray[np.intp], options: StretchOptions) -> Stretch:
    """Fit a stretch to the training part of a set.

    Parameters
    ----------
    images : ndarray of float32
        Shape ``(n, bands, N, N)``; only `rows` of it are read.
    rows : ndarray of int
        Images of the training part.
    options : StretchOptions
        Which stretch.

    Returns
    -------
    Stretch
        For ``asinh`` and ``lupton`` the softening per band is `options.softening` times the sky noise of that band.

    Raises
    ------
    DataError
        If the images have no noise to measure, or are not finite.
    """
    bands = images.shape[1]
    if options.kind == "linear":
        return Stretch("linear", [options.high - options.low] * bands, offset=options.low)
    step = max(1, -(-len(rows) // LARGEST_SAMPLE))
    sample = np.asarray(images[np.sort(rows)[::step]])
    if not np.isfinite(sample).all():
        raise DataError("training images hold values that are not finite; make the set again")
    if options.kind == "percentile":
        return _percentile_stretch(sample)
    softening = [options.softening * value for value in sky_noise(sample)]
    bare = Stretch(options.kind, softening)
    with torch.inference_mode():
        brightness = bare(torch.from_numpy(sample)).numpy()
    scale = float(np.percentile(brightness, REFERENCE_PERCENTILE))
    if scale <= 0:
        raise DataError("training images have no positive flux; are they background-subtracted and not empty?")
    return Stretch(options.kind, softening, scale=scale)


def _percentile_stretch(images: NDArray[np.float32]) -> Stretch:
    """Cut to percentiles, then ``arcsinh(0.85 x / max)`` with the upper percentile as the maximum."""
    limits = np.percentile(images, CUT_PERCENTILES, axis=(0, 2, 3)).T
    if (limits[:, 1] <= 0).any():
        raise DataError("a band of the training images has no positive values; use stretch.kind = 'linear'")
    softening = [float(high) / CUT_STRENGTH for high in limits[:, 1]]
    return Stretch("percentile", softening, limits=limits.tolist())


def sky_noise(images: NDArray[np.float32]) -> list[float]:
    """Typical noise of each band, from the outermost pixels of cutouts.

    Parameters
    ----------
    images : ndarray of float32
        Background-subtracted, shape ``(n, bands, N, N)``. Pixels that are exactly 0 are padding and do not count.

    Returns
    -------
    list of float
        1.4826 times the median absolute value of the two outermost rings, a standard deviation if it is Gaussian.

    Raises
    ------
    DataError
        If a band is empty there.
    """
    ring = np.ones(images.shape[2:], dtype=bool)
    ring[2:-2, 2:-2] = False
    noise = []
    for band in range(images.shape[1]):
        values = np.abs(images[:, band][:, ring])
        values = values[values > 0]
        if not values.size:
            raise DataError(
                f"band {band} of the training images is 0 at all edges: no sky noise to set the stretch by. "
                "Use stretch.kind = 'linear' for pictures that are not background-subtracted flux"
            )
        noise.append(1.4826 * float(np.median(values)))
    return noise
