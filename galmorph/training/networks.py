"""Networks: a stretch, an encoder, a classifier; images in, logits and features out."""

from typing import NamedTuple

import timm
import torch
from torch import Tensor, nn

from galmorph.errors import ConfigError
from galmorph.training.heads import CosineHead, OpenHead
from galmorph.training.losses import joint_logits
from galmorph.training.options import NetworkOptions
from galmorph.training.stretch import Stretch

#: Arguments of timm that are not a recipe's: bands, classes, and weights that timm would fetch or unpickle.
GIVEN = ("pretrained", "pretrained_cfg", "checkpoint_path", "in_chans", "num_classes")


class Activations(NamedTuple):
    """What a network gives in training.

    Parameters
    ----------
    embedding : Tensor
        Output of the encoder, which domains are aligned by; shape ``(n, D)``.
    features : Tensor
        What the last layer takes, shape ``(n, d)``.
    logits : Tensor
        Of the known classes, shape ``(n, K)``.
    open_logits : Tensor or None
        Of each class against all others, shape ``(n, K, 2)``, if the network has such a head.
    """

    embedding: Tensor
    features: Tensor
    logits: Tensor
    open_logits: Tensor | None = None


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
    head : Module
        Features to logits ``(n, K)``.
    dropout : float
        Dropped share of the features before the last layer, in training.
    open_head : OpenHead, optional
        One classifier for each class against all others.
    """

    def __init__(
        self,
        stretch: Stretch,
        encoder: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        dropout: float,
        open_head: OpenHead | None = None,
    ) -> None:
        super().__init__()
        self.stretch = stretch
        self.encoder = encoder
        self.neck = neck
        self.dropout = nn.Dropout(dropout)
        self.head = head
        self.open_head = open_head

    def lengths(self, bands: int, size: int) -> tuple[int, int]:
        """Lengths of embeddings and features, for images of ``(bands, size, size)``."""
        training = self.training
        self.eval()
        with torch.inference_mode():
            embedding, features, *_ = self.activations(torch.zeros(1, bands, size, size))
        self.train(training)
        return embedding.shape[1], features.shape[1]

    def activations(self, images: Tensor) -> Activations:
        """Everything that losses look at; see `forward` for `images`."""
        embedding = self.encoder(self.stretch(images))
        features = self.neck(embedding)
        return Activations(embedding, features, *self._heads(features))

    def features(self, stretched: Tensor) -> Tensor:
        """What the last layer takes, shape ``(n, d)``, of images that are stretched already."""
        features: Tensor = self.neck(self.encoder(stretched))
        return features

    def answer(self, features: Tensor) -> Tensor:
        """Logits of features; see `forward`."""
        logits, open_logits = self._heads(features)
        return logits if open_logits is None else joint_logits(logits, open_logits)

    def _heads(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        taken = self.dropout(features)
        return self.head(taken), None if self.open_head is None else self.open_head(taken)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features.

        Parameters
        ----------
        images : Tensor
            Nanomaggies per square arcsec, shape ``(n, bands, N, N)``.

        Returns
        -------
        logits : Tensor
            Shape ``(n, K)``; with an open head those of `galmorph.training.losses.joint_logits`.
        features : Tensor
            What the last layer takes, shape ``(n, d)``.
        """
        features = self.features(self.stretch(images))
        return self.answer(features), features


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


def build_network(
    options: NetworkOptions, stretch: Stretch, *, bands: int, size: int, classes: int, open_head: bool = False
) -> Classifier:
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
    open_head : bool
        With a classifier of each class against all others.

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
        encoder, neck, features = _deepmerge_parts(options, bands, size)
    else:
        encoder, neck, features = _timm_parts(options, bands, size)
    head = CosineHead(features, classes) if options.head == "cosine" else nn.Linear(features, classes)
    return Classifier(stretch, encoder, neck, head, options.dropout, OpenHead(features, classes) if open_head else None)


def _timm_parts(options: NetworkOptions, bands: int, size: int) -> tuple[nn.Module, nn.Module, int]:
    """Encoder of timm, with a bottleneck if asked for; neck; length of features."""
    if not timm.is_model(options.encoder):
        close = timm.list_models(f"*{options.encoder}*")[:5]
        hint = f"; like it: {', '.join(close)}" if close else ""
        raise ConfigError(f"network.encoder must be 'deepmerge' or an encoder of timm, got {options.encoder!r}{hint}")
    given = sorted({*options.encoder_options} & {*GIVEN})
    if given:
        raise ConfigError(
            f"network.encoder_options cannot set {', '.join(given)}: bands and classes are those of the images, and "
            "weights to start from are a file, network.initial"
        )
    try:
        encoder = timm.create_model(
            options.encoder, pretrained=False, in_chans=bands, num_classes=0, **options.encoder_options
        )
        features = _count_features(encoder, bands, size)
    except Exception as error:  # whatever an encoder of timm stumbles over, it is these settings
        raise ConfigError(
            f"network.encoder {options.encoder!r} cannot be made for {bands} x {size} x {size} images with "
            f"encoder_options {dict(options.encoder_options)}: {type(error).__name__}: {error}"
        ) from error
    if options.bottleneck:
        encoder, features = nn.Sequential(encoder, nn.Linear(features, options.bottleneck)), options.bottleneck
    return encoder, nn.Identity(), features


def _count_features(encoder: nn.Module, bands: int, size: int) -> int:
    """Length of an encoder's output."""
    training = encoder.training
    encoder.eval()
    with torch.inference_mode():
        output = encoder(torch.zeros(1, bands, size, size))
    if output.ndim != 2:
        raise ValueError(f"its output has the shape {tuple(output.shape)}, and one vector of an image is wanted")
    encoder.train(training)
    return int(output.shape[1])


def _deepmerge_parts(options: NetworkOptions, bands: int, size: int) -> tuple[nn.Module, nn.Module, int]:
    """Encoder, fully connected layers, length of features."""
    if options.encoder_options or options.bottleneck:
        raise ConfigError(
            f"deepmerge takes no encoder_options and no bottleneck, got {dict(options.encoder_options)} and "
            f"{options.bottleneck}"
        )
    if size < 8:
        raise ConfigError(f"deepmerge halves images three times: they must be at least 8 pixels, got {size}")
    flat = 32 * (size // 8) ** 2
    neck = nn.Sequential(nn.Linear(flat, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
    return DeepMergeEncoder(bands), neck, 32
