"""Train with a guard: beside a model that adapts one that does not, and the better of the two goes on."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

from galmorph.progress import announce
from galmorph.training.checkpoint import read_checkpoint
from galmorph.training.domain_norm import Domain, set_domain
from galmorph.training.domains import Domains, read_domains
from galmorph.training.ensemble import as_served, load_members
from galmorph.training.fit import Device, moved, train
from galmorph.training.folder import TrainResult
from galmorph.training.gather import is_first
from galmorph.training.guard import Answers, Verdict, judge, observe_signs
from galmorph.training.hold import write_whole
from galmorph.training.method_options import MethodOptions
from galmorph.training.methods import TERMS, find_method
from galmorph.training.module import Training
from galmorph.training.recipe import Recipe, load_recipe
from galmorph.training.shipped import GUARD, PLAIN
from galmorph.training.unused import tell_unused

logger = logging.getLogger(__name__)

#: Images of the target that are compared, and images at a time.
COMPARED, BATCH = 4000, 256


@dataclass(frozen=True)
class GuardedResult:
    """What a training leaves.

    Parameters
    ----------
    shipped : TrainResult
        The training to go on with.
    verdict : Verdict or None
        Why; None where there was nothing to compare.
    noise : tuple of float
        Largest standard deviation of the noise that images of the source got, of each band.
    """

    shipped: TrainResult
    verdict: Verdict | None
    noise: tuple[float, ...]


def train_guarded(
    recipe: Recipe | Path,
    out: Path,
    *,
    data: Path | None = None,
    target: Path | None = None,
    device: Device = "auto",
    progress: bool = True,
    minutes: float | None = None,
    callbacks: Sequence[Callback] = (),
) -> GuardedResult:
    """Train, and if the method adapts make sure that it did no harm that can be seen.

    A method that adapts is trained in `out`, and the same recipe on the source alone in ``out/source_only``. Signs that
    need no label of the target decide between them, as ``[guard]`` in the recipe says; they are in ``out/guard.json``.

    Parameters
    ----------
    recipe, out, data, target, device, progress, minutes, callbacks
        See `galmorph.training.fit.train`; each of the two trainings has so many minutes.

    Returns
    -------
    GuardedResult
        The training to go on with, and the verdict.

    Raises
    ------
    ConfigError, DataError
        As `galmorph.training.fit.train`.
    """
    recipe = moved(recipe if isinstance(recipe, Recipe) else load_recipe(recipe), data, target)
    settings: dict[str, Any] = {"device": device, "progress": progress, "minutes": minutes, "callbacks": callbacks}
    tell_unused(recipe)
    alone = recipe.guard.mode == "off" or not find_method(recipe.method.name).adapts
    if not alone:
        _announce(progress, "the network that adapts, the first of two:")
    adapted = train(recipe, out, **settings)
    noise = noise_of(adapted.checkpoint)
    if alone:
        # A verdict from when the guard was on decides no more.
        (Path(out) / GUARD).unlink(missing_ok=True)
        return GuardedResult(adapted, None, noise)
    _announce(progress, "its twin, which learns from the source alone:")
    plain = train(without_adaptation(recipe, noise), Path(out) / PLAIN, **settings)
    verdict = compare_trainings(recipe, [plain.checkpoint], [adapted.checkpoint])
    write_verdict(Path(out), verdict)
    return GuardedResult(plain if verdict.shipped == "source_only" else adapted, verdict, noise)


def _announce(progress: bool, text: str) -> None:
    """Say whose bar comes next, where there is one."""
    if progress and is_first():
        announce(text)


def noise_of(checkpoint: Path) -> tuple[float, ...]:
    """The noise that the source's images got in a training, of each band."""
    return tuple(read_checkpoint(checkpoint)["record"].get("noise", ()))


def without_adaptation(recipe: Recipe, noise: tuple[float, ...] = ()) -> Recipe:
    """The same recipe on the source alone, with images as noisy as beside the target.

    Parameters
    ----------
    recipe : Recipe
        Of a method that adapts.
    noise : tuple of float
        That it adds in each band.

    Returns
    -------
    Recipe
    """
    method, weights = recipe.method, recipe.method.weights
    kept = {name: weight for name, weight in weights.items() if not (TERMS[name].adapts or TERMS[name].open_head)}
    plain = MethodOptions(
        name="source_only", weights=kept, class_weights=method.class_weights, label_smoothing=method.label_smoothing
    )
    return replace(recipe, method=plain, target=None, views=replace(recipe.views, noise=noise or 0.0))


def write_verdict(out: Path, verdict: Verdict) -> None:
    """Let a verdict decide for a folder, and log what it says of harm; of several processes the first does."""
    if not is_first():
        return
    write_whole(out / GUARD, (json.dumps(verdict.to_dict(), indent=2) + "\n").encode())
    for reason in verdict.reasons:
        logger.warning("adaptation may have done harm: %s", reason)


def compare_trainings(recipe: Recipe, plain: Sequence[Path], adapted: Sequence[Path]) -> Verdict:
    """Judge an adapted model by what it and a source-only model say of the same images.

    Parameters
    ----------
    recipe : Recipe
        Of the adapted model.
    plain, adapted : sequence of Path
        Checkpoints; several answer together.

    Returns
    -------
    Verdict
        Whether to ship the adapted model; with ``guard.mode = "warn"`` it is always shipped.
    """
    domains = read_domains(recipe)
    before, after = (_answers(load_members(checkpoints)[0], domains) for checkpoints in (plain, adapted))
    labels = domains.source.labels[domains.rows["validation"]]
    images = len(domains.target_rows["train"])
    verdict = judge(observe_signs(before, after, labels, images, recipe.guard.sure), recipe.guard)
    verdict = replace(verdict, target=dict(domains.target.digests) if domains.target else {})
    return replace(verdict, shipped="adapted") if recipe.guard.mode == "warn" else verdict


def _answers(modules: Sequence[Training], domains: Domains) -> Answers:
    """What a model says of the source's validation images and of images of the target's training part."""
    assert domains.target is not None  # noqa: S101 - only methods that adapt are compared
    rows = domains.target_rows["train"]
    chosen = np.sort(np.random.default_rng(0).permutation(rows)[:COMPARED])
    valid, _ = predict(modules, domains.source.images, domains.rows["validation"], "source")
    return Answers(valid, *predict(modules, domains.target.images, chosen, "target"))


def predict(
    modules: Training | Sequence[Training], images: NDArray[Any], rows: NDArray[np.intp], domain: Domain
) -> tuple[Any, Any]:
    """Logits and features of chosen images, as a bundle of the model would give them.

    Parameters
    ----------
    modules : Training or sequence of Training
        In evaluation mode; several answer together.
    images : ndarray of float32
        Shape ``(n, bands, N, N)``; read a batch at a time.
    rows : ndarray of int
        Which.
    domain : {"source", "target"}
        Whose normalisation, where the network has one for each.

    Returns
    -------
    logits, features : ndarray of float32
        Shapes ``(len(rows), K)`` and ``(len(rows), d)``.
    """
    modules = [modules] if isinstance(modules, Training) else modules
    orientations = modules[0].recipe.export.orientations
    served = as_served([module.network for module in modules], orientations)
    set_domain(served, domain)
    step = BATCH // orientations
    batches = [rows[start : start + step] for start in range(0, len(rows), step)]
    with torch.inference_mode():
        parts = [served(torch.from_numpy(images[batch]).to(memory_format=torch.channels_last)) for batch in batches]
    logits, features = (torch.cat(list(part)).numpy() for part in zip(*parts, strict=True))
    return logits, features
