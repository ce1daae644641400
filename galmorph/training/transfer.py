"""Transfer learning: a training that starts from the weights of another one, or from published weights.

All layers go on learning, which DeepMerge II found better than to freeze some.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from galmorph.digests import file_sha256
from galmorph.errors import ConfigError, DataError
from galmorph.training.checkpoint import STRUCTURE, read_checkpoint
from galmorph.training.domain_norm import DomainNorm
from galmorph.training.networks import Classifier
from galmorph.training.options import NetworkOptions, SplitOptions
from galmorph.training.shipped import checkpoint_file, shipped_checkpoint

logger = logging.getLogger(__name__)

#: Settings that decide which weights an encoder has.
ENCODER = ("encoder", "encoder_options", "bottleneck")

#: Names that a message shows; all are in the record.
SHOWN = 5


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Parameters
    ----------
    path : Path
        Where they are from.
    weights : dict of str to Tensor
        By name: of a checkpoint as in a `Classifier`, else as in its encoder.
    recipe : dict or None
        Of the training that made the checkpoint; None for plain weights.
    digests : dict or None
        Of the labelled images of that training.
    """

    path: Path
    weights: dict[str, Tensor]
    recipe: dict[str, Any] | None
    digests: Mapping[str, str] | None = None


def start_file(path: Path) -> Path:
    """The file that the setting means: of a training's folder the best epoch of what its guard chose, else itself.

    Raises
    ------
    ConfigError
        If it is not there, or the folder holds several seeds.
    """
    path = checkpoint_file(shipped_checkpoint(path))
    if not path.is_file():
        raise ConfigError(
            f"network.initial: {path} does not exist; give a checkpoint, the folder of a training, or a file of weights"
        )
    return path


def read_start(path: Path) -> Start:
    """Read weights to start from.

    Parameters
    ----------
    path : Path
        Checkpoint of a training, its folder, or a ``.safetensors`` file with weights of an encoder, named as timm does.

    Returns
    -------
    Start
        On the CPU.

    Raises
    ------
    ConfigError
        If there is no such file.
    DataError
        If it is none of these.
    """
    path = start_file(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            ours = STRUCTURE in (file.metadata() or {})
            weights = {} if ours else {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise DataError(f"network.initial: cannot read {path} as safetensors: {error}") from error
    if not ours:
        return Start(path, weights, None)
    state = read_checkpoint(path)
    if "record" not in state:
        raise DataError(f"network.initial: {path} is not a checkpoint of a galmorph training")
    prefix = "network."
    weights = {name.removeprefix(prefix): w for name, w in state["state_dict"].items() if name.startswith(prefix)}
    return Start(path, weights, state["record"]["recipe"], state["record"].get("digests"))


def start_from(start: Start, network: Classifier, options: NetworkOptions, classes: tuple[str, ...]) -> dict[str, Any]:
    """Put weights into a network that was just made.

    Encoder and fully connected layers are taken over; the last layers if they stand for the same classes. The stretch,
    which is fitted to the images of each training, is this one's own.

    Parameters
    ----------
    start : Start
        The weights.
    network : Classifier
        Changed in place.
    options : NetworkOptions
        What it was made by.
    classes : tuple of str
        Of its outputs.

    Returns
    -------
    dict
        For the record: `file` and its `sha256`, `name` of the model, parts that were `taken` over, those `left` as they
        were with the reason, names of weights in the file that have no place (`unknown`) and of weights of the taken
        parts that the file lacks (`missing`).

    Raises
    ------
    ConfigError
        If the encoders differ, weights have other shapes, or none fits.
    """
    state = network.state_dict()
    unfit = _unfit(start, options, classes)
    left = {part: reason for part, reason in unfit.items() if part in {_part(name) for name in state}}
    offered = {name: weight for name, weight in _named(start, options).items() if _part(name) not in unfit}
    wanted = {name: weight for name, weight in state.items() if _part(name) not in left}
    norms = {name for name, module in network.named_modules() if isinstance(module, DomainNorm)}
    sources = {name: _source(name, offered, norms) for name in wanted}
    found = {name: source for name, source in sources.items() if source is not None}
    _check_shapes(start, {name: (offered[source], wanted[name]) for name, source in found.items()})
    if not found:
        raise ConfigError(
            f"network.initial: no weight in {start.path} has a name of this network's; it holds "
            f"{_some(sorted(start.weights))}, and {_some(sorted(wanted))} are expected"
        )
    network.load_state_dict({name: offered[source] for name, source in found.items()}, strict=False)
    record = {
        "file": start.path.name,
        "sha256": file_sha256(start.path),
        "name": None if start.recipe is None else start.recipe["name"],
        "taken": list(dict.fromkeys(_part(name) for name in found)),
        "left": left,
        "unknown": sorted({*offered} - {*found.values()} - {*_sources_own(found)}),
        "missing": sorted(set(wanted) - set(found)),
    }
    _say(record)
    return record


def tell_other_division(start: Start, split: SplitOptions, digests: Mapping[str, str]) -> None:
    """Warn where weights may have been learned from objects that are to validate and to test here.

    Parameters
    ----------
    start : Start
        The weights.
    split : SplitOptions
        How objects are divided here.
    digests : mapping of str to str
        Of the labelled images here.
    """
    if start.recipe is None:
        return
    theirs = start.recipe.get("split")
    # With exact shares of classes an object's part depends on all the others.
    if theirs == asdict(split) and not (split.stratified and start.digests != digests):
        return
    logger.warning(
        "network.initial: the training of %s divided its objects otherwise (%s): it may have learned from some that "
        "are in the validation and test parts here, if they were among its own, and what is measured on these is too "
        "good then. Give both trainings the same [split]%s",
        start.path,
        "[split] is another" if theirs != asdict(split) else "split.stratified, on other images",
        "" if theirs != asdict(split) else ", with stratified = false",
    )


def _unfit(start: Start, options: NetworkOptions, classes: tuple[str, ...]) -> dict[str, str]:
    """Parts that cannot be taken over, with the reason; fails if the encoder is another."""
    heads = ("head", "open_head")
    if start.recipe is None:
        return dict.fromkeys(("neck", *heads), "the file holds weights of an encoder")
    theirs = start.recipe["network"]
    for key in ENCODER:
        mine = getattr(options, key)
        if theirs[key] != (dict(mine) if key == "encoder_options" else mine):
            raise ConfigError(
                f"network.initial: {start.path} has network.{key} = {theirs[key]!r}, this recipe {mine!r}; "
                "weights fit the same encoder only"
            )
    if tuple(start.recipe["source"]["classes"]) != classes:
        reason = f"classes were {', '.join(start.recipe['source']['classes'])} and are {', '.join(classes)}"
        return dict.fromkeys(heads, reason)
    if theirs["head"] != options.head:
        return {"head": f"it was {theirs['head']} and is {options.head}"}
    return {}


def _part(name: str) -> str:
    """The part of a `Classifier` that a weight belongs to."""
    return name.partition(".")[0]


def _named(start: Start, options: NetworkOptions) -> dict[str, Tensor]:
    """The weights, named as in a `Classifier`."""
    if start.recipe is not None:
        return start.weights
    prefix = "encoder.0." if options.bottleneck else "encoder."
    return {prefix + name: weight for name, weight in start.weights.items()}


def _source(name: str, offered: dict[str, Tensor], norms: set[str]) -> str | None:
    """Name in the file of what a weight starts from: where only one side has normalisation by domain, of its target."""
    layer, _, leaf = name.rpartition(".")
    candidates = [name, f"{layer}.target.{leaf}"]
    if layer.rpartition(".")[0] in norms:
        candidates.append(f"{layer.rpartition('.')[0]}.{leaf}")
    return next((candidate for candidate in candidates if candidate in offered), None)


def _sources_own(found: dict[str, str]) -> list[str]:
    """Names of the source's branches whose target's branch took the one place that there is."""
    target = [source for name, source in found.items() if ".target." in source and ".target." not in name]
    return [source.replace(".target.", ".source.") for source in target]


def _check_shapes(start: Start, pairs: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Fail where a weight of the file has another shape than its place."""
    wrong = [
        f"{name} is {tuple(theirs.shape)} there and {tuple(mine.shape)} here"
        for name, (theirs, mine) in pairs.items()
        if theirs.shape != mine.shape
    ]
    if wrong:
        raise ConfigError(
            f"network.initial: weights of {start.path} do not fit this network: {_some(wrong)}. "
            "Bands and size of the images and the options of the encoder must be the same"
        )


def _say(record: dict[str, Any]) -> None:
    """Tell what was taken over and what was not."""
    logger.info("start from %s: %s are taken over", record["file"], ", ".join(record["taken"]))
    for part, reason in record["left"].items():
        logger.warning("%s is not taken over from %s: %s", part, record["file"], reason)
    for key, words in (("unknown", "have no place in this network"), ("missing", "are not in it and start at random")):
        if record[key]:
            logger.warning("%s: %d weights %s: %s", record["file"], len(record[key]), words, _some(record[key]))


def _some(names: list[str]) -> str:
    """The first names, and how many there are beside."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
