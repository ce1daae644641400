"""The tables of a recipe, as frozen dataclasses: every setting with its meaning, default and range."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from galmorph.scores import USUAL_SCORE
from galmorph.taxonomy import UNKNOWN

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

#: Seeds are below this, as numpy, torch and Optuna all take them.
SEEDS_END = 2**32
Seed = Annotated[int, Field(ge=0, lt=SEEDS_END)]

#: Applied to each dataclass below: a setting that does not exist is an error, never ignored.
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The labelled images to learn from.

    Parameters
    ----------
    kind : {"cutouts", "folder", "arrays"}
        ``cutouts``: a folder written by `galmorph.cutout_set.write_cutout_set`. ``folder``: image files with a
        table. ``arrays``: a pair of ``.npy`` files, images ``(n, bands, N, N)`` and whole-number labels.
    path : Path
        Folder of the set or of the images, or the ``.npy`` file of images. Relative to the recipe's folder.
    classes : tuple of str
        Known classes in the order of the network's outputs; none is called ``unknown``.
    private : tuple of str
        Classes that are in the data and are kept out of training; they serve to evaluate unknowns only.
    class_map : str
        Key of `galmorph.taxonomy.CLASS_MAPS`, applied to the labels before anything else; empty: none.
    labels : Path or None
        ``folder``: CSV with columns `file`, `label` and, if objects have more than one image, `object_id`.
        ``arrays``: ``.npy`` of indices into `classes`.
    bands : tuple of str
        Names of the bands, for ``folder`` and ``arrays``; a cutout set brings its own.
    size : int or None
        ``folder``: images are resized to this many pixels a side; None takes them as they are.
    faults : {"refuse", "skip"}
        ``folder``: fail at an image that is broken or blank or lacks its label, or leave such images out, warn, and
        list them in ``rejects.csv`` of the training's folder.
    """

    __pydantic_config__ = STRICT

    path: Path
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    kind: Literal["cutouts", "folder", "arrays"] = "cutouts"
    private: tuple[str, ...] = ()
    class_map: str = ""
    labels: Path | None = None
    bands: tuple[str, ...] = ()
    size: Count | None = None
    faults: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        lower = [name.lower() for name in self.classes]
        if twice := sorted({name for name in self.classes if lower.count(name.lower()) > 1}):
            raise ValueError(f"of the classes to learn {', '.join(twice)} stands twice, capitals apart")
        if "" in (*self.classes, *self.private):
            raise ValueError("the empty word stands for images without a label, and is no class")
        if UNKNOWN in self.classes:
            raise ValueError(
                f"{UNKNOWN} is what objects of no known class are called, and no class to learn: "
                "give it another name, or list it as private"
            )
        if both := sorted({*self.classes} & {*self.private}):
            raise ValueError(f"{', '.join(both)} cannot be among the classes to learn and private ones too")
        _refuse_unused(self)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Images without labels to adapt to. If they have labels, these are not read.

    Parameters
    ----------
    path : Path
        Folder of the set or of the images, or the ``.npy`` file of images. Relative to the recipe's folder.
    kind : {"cutouts", "folder", "arrays"}
        As of `Source`; a ``folder`` needs no table, all images in it are taken.
    bands : tuple of str
        Names of the bands, for ``folder`` and ``arrays``.
    size : int or None
        ``folder``: images are resized to this many pixels a side.
    faults : {"refuse", "skip"}
        ``folder``: fail at an image that is broken or blank, or leave such images out; as of `Source`.
    """

    __pydantic_config__ = STRICT

    path: Path
    kind: Literal["cutouts", "folder", "arrays"] = "cutouts"
    bands: tuple[str, ...] = ()
    size: Count | None = None
    faults: Literal["refuse", "skip"] = "refuse"

    def __post_init__(self) -> None:
        _refuse_unused(self)


def _refuse_unused(data: Source | Target) -> None:
    """Fail where data are told what their kind does not use: a set of cutouts has bands, size and labels of its own."""
    unused = {"cutouts": ("labels", "bands", "size", "faults"), "arrays": ("size", "faults"), "folder": ()}[data.kind]
    defaults = {each.name: each.default for each in fields(data)}
    set_here = [name for name in unused if getattr(data, name, defaults.get(name)) != defaults.get(name)]
    if set_here:
        raise ValueError(f"data of kind {data.kind!r} do not take {', '.join(set_here)}; leave that out")


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How objects are divided, by their identifier alone; see `galmorph.training.split`.

    Parameters
    ----------
    train, validation, test : float
        Shares; they sum to 1. The default is DeepAstroUDA's.
    salt : str
        Another salt gives another division.
    stratified : bool
        Make the shares exact within each class (for small sets). Otherwise an object's part depends on its
        identifier only, so that it stays the same when the set grows.
    """

    __pydantic_config__ = STRICT

    train: Positive = 0.6
    validation: Positive = 0.2
    test: NotNegative = 0.2
    salt: str = "galmorph"
    stratified: bool = False

    def __post_init__(self) -> None:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares train, validation and test must sum to 1, got {total:g}")


@dataclass(frozen=True, kw_only=True)
class StretchOptions:
    """How calibrated flux becomes what the network sees; see `galmorph.training.stretch`.

    Parameters
    ----------
    kind : {"asinh", "lupton", "linear", "percentile"}
        ``asinh``: each band by itself. ``lupton``: one factor for all bands, which keeps colours.
        ``linear``: from `low` to `high` onto 0 to 1 (for pictures already stretched: 0 and 255).
        ``percentile``: each band cut to its 0.1 and 99.9 percentiles, then arcsinh (DeepAstroUDA's LSST mocks).
    softening : float
        ``asinh`` and ``lupton``: where the scale turns from linear to logarithmic, in units of each band's sky noise.
    low, high : float
        ``linear`` only.
    """

    __pydantic_config__ = STRICT

    kind: Literal["asinh", "lupton", "linear", "percentile"] = "asinh"
    softening: Positive = 3.0
    low: Finite = 0.0
    high: Finite = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be less than high, got {self.low:g} and {self.high:g}")


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Random views of training images; see `galmorph.training.views`.

    Parameters
    ----------
    turn : bool
        Rotations by multiples of 90 degrees.
    flip : bool
        Mirror images.
    tilt : float
        Largest rotation to either side, in degrees, beside quarter turns: with these, 45 gives every orientation.
    zoom : float
        Images are enlarged by a factor between 1 and this one; 300/256 is DeepAstroUDA's, 1 is none.
    shift : float
        Largest displacement along each axis, in pixels.
    colour : float
        Largest share of an image's colours that is taken from it, its bands moving towards their mean.
    brightness : float
        Images are made brighter or fainter by a factor of up to the exponential of this.
    blur : float
        Standard deviation in pixels of a Gaussian that images are mixed with their blurred selves by, in random shares.
    noise : "target", float or tuple of float
        Images of the source get more noise, of a standard deviation between nothing and this, in their unit, for all
        bands or for each. ``"target"``: what they lack beside the target's (`galmorph.training.noise`), which is
        nothing in a training without a target.
    """

    __pydantic_config__ = STRICT

    turn: bool = True
    flip: bool = True
    tilt: Annotated[float, Field(ge=0, le=180)] = 0.0
    zoom: Annotated[float, Field(ge=1, le=4)] = 300 / 256
    shift: NotNegative = 0.0
    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    brightness: NotNegative = 0.0
    blur: NotNegative = 0.0
    noise: Literal["target"] | NotNegative | tuple[NotNegative, ...] = "target"


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network; see `galmorph.training.networks`.

    Parameters
    ----------
    encoder : str
        ``deepmerge``, or any encoder that timm makes by this name.
    encoder_options : mapping
        Handed to timm as they are, for example ``channels = [16, 32, 64, 128]`` for a slim ``resnet18``.
    bottleneck : int
        Length of a linear layer after the encoder; 0 is none. 256 in DeepMerge II's ResNet18.
    dropout : float
        Dropped share of the features before the classifier, in training.
    head : {"linear", "cosine"}
        The last layer; ``cosine`` is DANCE's.
    batch_norm : {"mixed", "domain", "shared"}
        Batch normalisation of methods that adapt. ``mixed``: both domains in one batch. ``domain``: each domain has
        statistics and parameters of its own, which suits domains with the same classes in the same shares.
        ``shared``: batches of one domain at a time pass through the same.
    initial : Path or None
        Start from these weights, see `galmorph.training.transfer`: a checkpoint of another training, its folder (which
        stands for its best checkpoint), or a ``.safetensors`` file of an encoder, named as timm does. Relative to
        the recipe's folder.
    """

    __pydantic_config__ = STRICT

    encoder: str = "resnet18"
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    bottleneck: Natural = 0
    dropout: Fraction = 0.0
    head: Literal["linear", "cosine"] = "linear"
    batch_norm: Literal["mixed", "domain", "shared"] = "mixed"
    initial: Path | None = None


@dataclass(frozen=True, kw_only=True)
class OptimiserOptions:
    """The optimiser and its learning rate; see `galmorph.training.optimise`.

    Parameters
    ----------
    name : {"sgd", "adam", "adamw"}
        ``sgd`` has Nesterov momentum 0.9.
    learning_rate : float
        The largest of the schedule.
    weight_decay : float
        L2 penalty for ``sgd`` and ``adam``, decoupled decay for ``adamw``.
    betas : tuple of float
        Decay of the moments of ``adam`` and ``adamw``; 0.7 and 0.8 in DeepMerge II.
    schedule : {"constant", "step", "cosine", "triangle"}
        ``step``: times `step_factor` every `step_epochs` epochs. ``cosine``: down to zero over all epochs.
        ``triangle``: from a tenth up to the whole and down again within `cycle_epochs`, repeated (DeepMerge II).
    warmup_epochs : float
        Epochs over which the rate rises linearly from zero.
    step_epochs : int
        For ``step``; 10 in DeepAstroUDA.
    step_factor : float
        For ``step``; 0.1 in DeepAstroUDA.
    cycle_epochs : int
        For ``triangle``.
    clip : float
        Largest norm of the gradient; 0 does not clip.
    """

    __pydantic_config__ = STRICT

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: Positive = 1e-3
    weight_decay: NotNegative = 1e-2
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    schedule: Literal["constant", "step", "cosine", "triangle"] = "cosine"
    warmup_epochs: NotNegative = 1.0
    step_epochs: Count = 10
    step_factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    cycle_epochs: Count = 8
    clip: NotNegative = 1.0


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """The run.

    Parameters
    ----------
    epochs : int
        Most epochs.
    batch_size : int
        Images in a batch (of each device).
    patience : int
        Epochs without improvement after which training stops.
    monitor : {"recall", "accuracy", "loss", "information", "density", "recall_and_information"}
        What has to improve, and chooses the best epoch. On the source's validation part: ``recall`` (mean over
        classes), ``accuracy``, or ``loss``, the (weighted) cross-entropy. On the target's, without its labels:
        ``information``, that between image and predicted class, or ``density``, of neighbours where the answers also
        differ; see `galmorph.training.criteria`. ``recall_and_information``: the mean of both, each as a share of the
        largest possible. A method that does not adapt sees no target, and goes by the recall instead of these three.
        Of a method that adapts the best epoch by ``recall`` or ``accuracy`` is the latest within one standard error of
        the highest, see `galmorph.training.late.LateCheckpoint`.
    average : float
        Share that an exponential moving average of the weights keeps at each step: it reaches back over
        ``1 / (1 - average)`` steps, best about an epoch's. The average is validated, kept and exported, while the
        weights themselves go on learning. 0: none.
    workers : int
        Processes that load data; 0 loads in this one, which is fastest for arrays in memory.
    """

    __pydantic_config__ = STRICT

    epochs: Count = 30
    batch_size: Annotated[int, Field(ge=2)] = 128
    patience: Count = 12
    monitor: Literal["recall", "accuracy", "loss", "information", "density", "recall_and_information"] = "recall"
    average: Fraction = 0.0
    workers: Natural = 0


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What the bundle decides.

    Parameters
    ----------
    unknown_score : {"entropy", "energy", "anomaly_score", "strangers"}
        The score by which an object is called unknown; the papers' is the entropy. ``strangers``, which goes with the
        same for `threshold`: that of the three which tells strangers best, or the anomaly score if they cannot be told.
    threshold : {"known", "strangers"}
        What sets the threshold: the share of known objects above it, or where strangers made of the target's
        images (without a target, of the source's validation images) are told from these best. The latter is for methods
        that train with strangers.
    false_unknown_rate : float
        Share of known validation objects that may be called unknown. Where `threshold` is ``"strangers"``, it counts
        if strangers cannot be told.
    scale_tolerance : float
        A survey's pixels may be larger than those of the training set by this factor.
    card : Path or None
        Template of the model card, see ``training/README.md``; None takes the built-in one. Relative to
        the recipe's folder.
    precisions : tuple of {"int8", "float16"}
        In what precisions the bundle holds the network beside float32: ``int8`` for CPUs, ``float16`` for GPUs. One
        that decides otherwise than float32 by more than the next two allow is left out.
    accuracy_drop : float
        Most that the accuracy on validation images may fall by.
    flags_kept : float
        Least share of the validation images (and of the target's, unlabelled) called unknown that still have to be.
    orientations : {1, 4, 8}
        What is said of an image is the mean over so many of its orientations: as it is, its quarter turns, or these and
        their mirror images (`galmorph.training.orientations`). A survey run takes as many times as long for it.
    """

    __pydantic_config__ = STRICT

    unknown_score: Literal["entropy", "energy", "anomaly_score", "strangers"] = USUAL_SCORE
    threshold: Literal["known", "strangers"] = "known"
    false_unknown_rate: Annotated[float, Field(gt=0, lt=1)] = 0.1
    scale_tolerance: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    card: Path | None = None
    precisions: tuple[Literal["int8", "float16"], ...] = ()
    accuracy_drop: Annotated[float, Field(ge=0, le=1)] = 0.005
    flags_kept: Annotated[float, Field(ge=0, le=1)] = 0.99
    orientations: Literal[1, 4, 8] = 1

    def __post_init__(self) -> None:
        if self.unknown_score == "strangers" != self.threshold:
            raise ValueError("unknown_score = 'strangers' goes with threshold = 'strangers'")


@dataclass(frozen=True, kw_only=True)
class GuardOptions:
    """When an adapted model is held to be worse than one trained on the source alone; see `galmorph.training.guard`.

    Parameters
    ----------
    mode : {"fallback", "warn", "off"}
        What to do at signs of harm: ship the source-only model, or only say so. ``off``: no source-only model is
        trained beside the adapted one, and nothing is compared.
    least_images : int
        Fewest target images of the training part.
    source_drop : float
        Most that the mean recall on the source's validation part may fall, beyond two standard errors of the fall.
    likelihood_drop : float
        Most that the mean log-probability of the right class, calibrated, may fall there.
    sure : float
        Calibrated confidence from which the source-only model is sure of a target image.
    agreement : float
        Smallest share of those images that have to keep their class.
    smallest_class : float
        Smallest share of its expected number that every class has to keep among the answers.
    away : float
        Most by which the shares of the classes among the answers on the target may move away from those in the source,
        in total variation. 1 where the target is known to have another mix of classes.
    clusters_drop : float
        Most that the silhouette of the classes on the target may fall.
    neighbours_drop : float
        Most that the share of the target images' neighbours with the same answer may fall.
    """

    __pydantic_config__ = STRICT

    mode: Literal["fallback", "warn", "off"] = "fallback"
    least_images: Count = 20
    source_drop: NotNegative = 0.02
    likelihood_drop: NotNegative = 0.07
    sure: Fraction = 0.9
    agreement: Fraction = 0.8
    smallest_class: Fraction = 0.2
    away: NotNegative = 0.07
    clusters_drop: NotNegative = 0.1
    neighbours_drop: NotNegative = 0.15
