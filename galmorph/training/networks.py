"""Networks: a stretch, an encoder, a classifier; images in, logits and features out."""

import timm
import torch
from torch import Tensor, nn

from galmorph.errors import ConfigError
from galmorph.training.options import NetworkOptions
from galmorph.training.stretch import Stretch


class Classifier(nn.Module):
    """A network that takes calibrated images.

    Parameters
    ----------
    stretch : Stretch
        From calibrated flux to network input.
    encoder : Module
        ``(n, bands, N, N)`` to ``(n, D)``.
    neck : Module
        ``(n, D)`` to the features ``(n, d)``; the identity for most networks.
    features : int
        d.
    classes : int
        K.
    dropout : float
        Dropped share of the features before the last layer, in training.
    """

    def __init__(
        self, stretch: Stretch, encoder: nn.Module, neck: nn.Module, features: int, classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.stretch = stretch
        self.encoder = encoder
        self.neck = neck
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features.

        Parameters
        ----------
        images : Tensor
            Nanomaggies per square arcsec, shape ``(n, bands, N, N)``.

        Returns
        -------
        logits : Tensor
            Shape ``(n, K)``.
        features : Tensor
            What the last layer takes, shape ``(n, d)``.
        """
        features = self.neck(self.encoder(self.stretch(images)))
        return self.head(self.dropout(features)), features


class DeepMergeEncoder(nn.Sequential):
    """The convolutional part of the DeepMerge network (DeepMerge II, table A1).

    Three times convolution, ReLU, batch normalisation and 2 x 2 maximum: 8 maps of 5 x 5, 16 and 32 of
    3 x 3, flattened.

    Parameters
    ----------
    bands : int
        Bands of the images.
    """

    def __init__(self, bands: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs, kernel in ((bands, 8, 5), (8, 16, 3), (16, 32, 3)):
            layers += [
                nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2),
                nn.ReLU(),
                nn.BatchNorm2d(outputs),
                nn.MaxPool2d(2),
            ]
        super().__init__(*layers, nn.Flatten())


def build_network(options: NetworkOptions, stretch: Stretch, *, bands: int, size: int, classes: int) -> Classifier:
    """Make a network with random weights.

    Parameters
    ----------
    options : NetworkOptions
        Which.
    stretch : Stretch
        Its first part.
    bands, size : int
        Images are ``(bands, size, size)``.
    classes : int
        Outputs.

    Returns
    -------
    Classifier
        With 174,626 parameters for ``deepmerge``, three bands of 75 x 75 pixels and two classes.

    Raises
    ------
    ConfigError
        If there is no such encoder, or it does not take the options or images of this size.
    """
    if options.encoder == "deepmerge":
        return _build_deepmerge(options, stretch, bands, size, classes)
    if not timm.is_model(options.encoder):
        close = timm.list_models(f"*{options.encoder}*")[:5]
        hint = f"; like it: {', '.join(close)}" if close else ""
        raise ConfigError(f"network.encoder must be 'deepmerge' or an encoder of timm, got {options.encoder!r}{hint}")
    try:
        encoder = timm.create_model(
            options.encoder, pretrained=False, in_chans=bands, num_classes=0, **options.encoder_options
        )
        features = _count_features(encoder, bands, size)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"network.encoder {options.encoder!r} cannot be made for {bands} x {size} x {size} images with "
            f"encoder_options {dict(options.encoder_options)}: {error}"
        ) from error
    return Classifier(stretch, encoder, nn.Identity(), features, classes, options.dropout)


def _count_features(encoder: nn.Module, bands: int, size: int) -> int:
    """Length of an encoder's output."""
    training = encoder.training
    encoder.eval()
    with torch.inference_mode():
        output = encoder(torch.zeros(1, bands, size, size))
    encoder.train(training)
    return int(output.shape[1])


def _build_deepmerge(options: NetworkOptions, stretch: Stretch, bands: int, size: int, classes: int) -> Classifier:
    if options.encoder_options:
        raise ConfigError(f"deepmerge takes no encoder_options, got {dict(options.encoder_options)}")
    if size < 8:
        raise ConfigError(f"deepmerge halves images three times: they must be at least 8 pixels, got {size}")
    flat = 32 * (size // 8) ** 2
    neck = nn.Sequential(nn.Linear(flat, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
    return Classifier(stretch, DeepMergeEncoder(bands), neck, 32, classes, options.dropout)
