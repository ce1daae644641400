"""Grad-CAM: where in an image a network sees a class (Selvaraju et al. 2017; DeepMerge II, section 4)."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from galmorph.errors import ConfigError
from galmorph.training.networks import Classifier, DeepMergeEncoder


def last_maps(encoder: nn.Module) -> nn.Module:
    """The part of an encoder that gives the maps of its last convolutional layer, after the activation.

    Parameters
    ----------
    encoder : Module
        Of a `Classifier`: DeepMerge's, or one of timm's, with a bottleneck or without.

    Returns
    -------
    Module
        Of DeepMerge the third ReLU; of timm's encoders what they name as their last feature maps, in a ResNet its last
        stage.

    Raises
    ------
    ConfigError
        If the encoder names none.
    """
    for module in encoder.modules():
        if isinstance(module, DeepMergeEncoder):
            return [layer for layer in module if isinstance(layer, nn.ReLU)][-1]
        # Transformers that keep a grid say so: their maps have the channels last.
        if getattr(module, "feature_info", None) and getattr(module, "output_fmt", "NCHW") == "NCHW":
            try:
                return module.get_submodule(str(module.feature_info[-1]["module"]))  # type: ignore[index]
            except (AttributeError, KeyError, TypeError):
                break
    raise ConfigError(
        f"{type(encoder).__name__} does not say which are its last maps: Grad-CAM needs a convolutional one"
    )


def grad_cam(network: Classifier, images: Tensor, classes: Tensor | None = None) -> NDArray[np.float32]:
    """How much each place of an image speaks for a class.

    The weight of a map is the mean over its pixels of the gradient of the class's logit; what comes out is the weighted
    sum of the maps, cut at 0.

    Parameters
    ----------
    network : Classifier
        In evaluation mode.
    images : Tensor
        Shape ``(n, bands, N, N)``, in the unit that the network takes.
    classes : Tensor of int, optional
        A class for each image; by default the one that the network names.

    Returns
    -------
    ndarray of float32
        At the resolution of the last convolutional layer, shape ``(n, h, w)``; 0 where nothing speaks for the class.

    Raises
    ------
    ConfigError
        If the encoder has no last maps of convolutions, or several.
    """
    seen: list[Any] = []
    hook = last_maps(network.encoder).register_forward_hook(lambda module, given, output: seen.append(output))
    try:
        with torch.enable_grad():
            # Of inputs that need a gradient all that follows has one, frozen weights or not.
            logits, _ = network(images.detach().clone().requires_grad_())
            classes = logits.argmax(dim=1) if classes is None else classes
            # Of some encoders that part gives several maps, or is called by another way than by itself.
            maps = seen[-1] if seen else None
            if not isinstance(maps, Tensor) or maps.ndim != 4 or len(maps) != len(images):
                given = f"the shape {tuple(maps.shape)}" if isinstance(maps, Tensor) else "none, or several"
                raise ConfigError(f"Grad-CAM needs one set of maps of convolutions, this encoder gives {given}")
            (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), maps)
    finally:
        hook.remove()
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    values: NDArray[np.float32] = functional.relu((weights * maps).sum(dim=1)).detach().float().cpu().numpy()
    return values


def enlarge(maps: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Maps at the resolution of the images, each divided by its largest value.

    Parameters
    ----------
    maps : ndarray of float32
        From `grad_cam`, shape ``(n, h, w)``.
    size : int
        N.

    Returns
    -------
    ndarray of float32
        From 0 to 1, shape ``(n, N, N)``; a map that is 0 stays so.
    """
    large = functional.interpolate(torch.from_numpy(maps)[:, None], size=(size, size), mode="bilinear")[:, 0].numpy()
    most = large.max(axis=(1, 2), keepdims=True)
    scaled: NDArray[np.float32] = np.divide(large, most, out=np.zeros_like(large), where=most > 0)
    return scaled
