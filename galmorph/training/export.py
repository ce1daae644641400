"""From a checkpoint to a model bundle."""

import io
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from galmorph.bundle import (
    CARD,
    MODEL,
    REFERENCE,
    SAMPLE,
    SOURCE_MODEL,
    STATISTICS,
    check_replaceable,
    write_bundle,
)
from galmorph.cutout_set import PIXEL_VALUES, UNIT, read_cutout_set
from galmorph.digests import file_sha256
from galmorph.errors import BundleError, DataError
from galmorph.manifest import FewerBits
from galmorph.reference import SOURCE, TARGET, ReferenceSample, join_samples, write_sample
from galmorph.scores import FeatureReference, Scores
from galmorph.training.calibrate import calibrate, statistics
from galmorph.training.card import write_card
from galmorph.training.compact import CALIBRATION_IMAGES, Judges, compact_graphs
from galmorph.training.data import Dataset, read_source
from galmorph.training.domain_norm import Domain, domain_norms, set_domain
from galmorph.training.domains import part_rows
from galmorph.training.ensemble import as_served, load_members
from galmorph.training.evaluate import predict
from galmorph.training.evaluation import Evaluation, summarise
from galmorph.training.folder import IDENTITY, RESULT
from galmorph.training.graph import add_facts, compare, export_graph
from galmorph.training.manifest import graph_facts, make_manifest
from galmorph.training.methods import find_method
from galmorph.training.module import Training
from galmorph.training.recipe import Recipe
from galmorph.training.reference import chosen_rows, images_facts, sample_domain
from galmorph.training.shipped import Shipped, is_best, shipped
from galmorph.training.split import split_objects
from galmorph.training.strangers import draw_strangers
from galmorph.training.target import read_target, target_rows

logger = logging.getLogger(__name__)

#: Images of the target that the threshold is fitted to.
TARGET_IMAGES = 4000

#: Resamples that the card's intervals are taken from: their ends are good to a fraction of their width.
RESAMPLES = 200

#: Real images on which graph and network are compared.
PARITY_IMAGES = 32


def export(
    checkpoint: Path,
    out: Path,
    *,
    data: Path | None = None,
    target: Path | None = None,
    precisions: tuple[FewerBits, ...] | None = None,
    orientations: Literal[1, 4, 8] | None = None,
) -> Path:
    """Make a bundle of a trained network.

    Everything that the bundle decides is fitted on the training and validation parts of the known classes, on
    unlabelled images of the target's training part, and on what is made of these; the test part and private classes
    only give the numbers in its card.

    Parameters
    ----------
    checkpoint : Path
        Written by `galmorph.training.fit.train`, or the folder of a training, which stands for its best checkpoint, or
        where its guard found harm for that of the training on the source alone; or the folder of several seeds, whose
        networks then answer together.
    out : Path
        Folder of the bundle; a bundle already there is replaced.
    data : Path, optional
        Where the training set is now, if it was moved.
    target : Path, optional
        Where the unlabelled images are that the network was adapted to, if they were moved.
    precisions : tuple of {"int8", "float16"}, optional
    orientations : {1, 4, 8}, optional
        In place of those of the recipe; see `galmorph.training.options.ExportOptions`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    BundleError
        If the network was not trained on a set of cutouts, the graph does not compute what the network does, or `out`
        is there and no bundle.
    DataError
        If the checkpoint or the data cannot be used, or the data changed since the training.
    """
    check_replaceable(Path(out))
    chosen = shipped(checkpoint)
    modules, record = load_members(chosen.checkpoints)
    if record["facts"].get("unit") not in (UNIT, PIXEL_VALUES):
        raise BundleError(
            f"{checkpoint} was not trained on a set of cutouts, whose unit and framing a bundle has to state. "
            "Train on a set made from tiles, by `galmorph mock`, or by galmorph.training.importers"
        )
    recipe = _as_asked(modules, precisions, orientations)
    _tell_what_is_open(recipe, chosen)
    dataset = _training_set(recipe, record, data)
    rows = part_rows(dataset, recipe)
    graphs, parity = _graphs(modules, record, np.asarray(dataset.images[rows["validation"][:PARITY_IMAGES]]))
    # What is fitted to labelled images is fitted to what the source's own branch says of them.
    model = graphs.get(SOURCE_MODEL, graphs[MODEL])
    _, fitted = predict(model, dataset.images, rows["train"])
    logits, features = predict(model, dataset.images, rows["validation"])
    unlabelled = _target_images(recipe, dataset, record, target)
    seen = None if unlabelled is None else predict(graphs[MODEL], *unlabelled)
    labels = dataset.labels[rows["validation"]]
    made = None
    if recipe.export.threshold == "strangers":
        made = _predict_strangers(graphs[MODEL], *(unlabelled or (dataset.images, rows["validation"])))
    calibration = calibrate(fitted, logits, features, labels, recipe.export, seen, made)
    scores = calibration.score(logits, features)
    evaluations = {"validation": _summarise(scores, dataset, rows["validation"], recipe, "validation")}
    test = _test_rows(dataset, recipe)
    if test.size:
        test_scores = calibration.score(*predict(model, dataset.images, test))
        evaluations["test"] = _summarise(test_scores, dataset, test, recipe, "test")
    judges = _judges(dataset, recipe, unlabelled)
    examples = np.asarray(dataset.images[_some(rows["train"], CALIBRATION_IMAGES)])
    smaller, judged = compact_graphs(graphs[MODEL], recipe.export, calibration, examples, judges)
    manifest = make_manifest(modules, record, calibration, evaluations, parity, judged)
    paths = (Path(data) if data else recipe.source.path, _target_set(recipe, record, target))
    sample, manifest.training["images_of"] = _sample(graphs, model, recipe, dataset, paths)
    manifest.training["checkpoints"] = [file_sha256(path) for path in chosen.checkpoints]
    if chosen.verdict is not None:
        manifest.training["guard"] = chosen.verdict.to_dict() | {"model": chosen.model}
    table = io.BytesIO()
    statistics(scores, features, dataset.classes).to_parquet(table, index=False)
    facts = graph_facts(recipe, record, calibration)
    files = {
        **{name: add_facts(graph, facts) for name, graph in (graphs | smaller).items()},
        REFERENCE: _reference_file(calibration.reference),
        STATISTICS: table.getvalue(),
        SAMPLE: write_sample(sample),
        CARD: write_card(manifest, recipe.export.card).encode(),
    }
    return write_bundle(Path(out), manifest, files).path


def _as_asked(
    modules: Sequence[Training],
    precisions: tuple[FewerBits, ...] | None,
    orientations: Literal[1, 4, 8] | None,
) -> Recipe:
    """The recipe of all networks, with what is asked for in place of what it says."""
    options = modules[0].recipe.export
    options = replace(
        options,
        precisions=options.precisions if precisions is None else precisions,
        orientations=orientations or options.orientations,
    )
    for module in modules:
        module.recipe = replace(module.recipe, export=options)
    return modules[0].recipe


def _training_set(recipe: Recipe, record: dict[str, Any], moved: Path | None) -> Dataset:
    """The data of the training, as they were."""
    path = _at_hand(recipe.source.path, moved, "data")
    dataset = read_source(replace(recipe.source, path=path))
    if dataset.digests != record["digests"]:
        raise DataError(
            f"{path} is not the data of the training, or was changed since: its digests differ. Give the images as "
            "they were, or train again"
        )
    return dataset


def _at_hand(path: Path, moved: Path | None, option: str) -> Path:
    """Where images of the training are now; fails where they are no more."""
    if moved is None and not path.exists():
        raise DataError(
            f"{path}, where the images of the training were, does not exist. If they were moved, say where to: "
            f"--{option}, or {option}= in Python"
        )
    return path if moved is None else Path(moved)


def _tell_what_is_open(recipe: Recipe, chosen: Shipped) -> None:
    """Warn of a training that is not finished, and of an adapted network that no guard has judged."""
    # A file that was taken out of the folder of its training tells nothing of that.
    folders = {path: path.resolve().parent.parent for path in chosen.checkpoints}
    folders = {path: folder for path, folder in folders.items() if (folder / IDENTITY).is_file()}
    for folder in set(folders.values()):
        if not (folder / RESULT).is_file():
            logger.warning(
                "the training in %s is not finished, and the best of its epochs so far is taken; the same galmorph "
                "train goes on with it",
                folder,
            )
    if not find_method(recipe.method.name).adapts or recipe.guard.mode == "off" or chosen.verdict is not None:
        return
    if others := [path for path in folders if not is_best(path)]:
        logger.warning(
            "%s is not the best epoch of its training, which is the one that a guard judges: whether adaptation did "
            "harm to this one nobody has looked at. Give the folder of the training to have the one that was judged",
            others[0],
        )
    else:
        logger.warning(
            "no guard has judged whether adaptation did harm here, as the recipe asks for; the same galmorph train "
            "goes on to the model that it is compared with"
        )


def _predict_strangers(
    graph: bytes, images: NDArray[np.float32], rows: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """What a network says of strangers made of some images; None if none could be made."""
    made = draw_strangers(images, rows)
    return predict(graph, made, np.arange(len(made))) if len(made) else None


def _graphs(
    modules: Sequence[Training], record: dict[str, Any], images: NDArray[np.float32]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Graphs by file name: the target's, and the source's where they differ; parity of the first."""
    graphs: dict[str, bytes] = {}
    parity: dict[str, Any] = {}
    served = as_served([module.network for module in modules], modules[0].recipe.export.orientations)
    branches: tuple[Domain, ...] = ("source", "target") if domain_norms(served) else ("source",)
    for branch in branches:
        set_domain(served, branch)
        name = MODEL if branch == branches[-1] else SOURCE_MODEL
        graphs[name] = export_graph(served, tuple(record["shape"]))
        parity = compare(graphs[name], served, images)
    return graphs, parity


def _some(rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Rows drawn at random, always the same ones, not more than are needed."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:count])


def _judges(
    dataset: Dataset, recipe: Recipe, target: tuple[NDArray[np.float32], NDArray[np.intp]] | None
) -> list[Judges]:
    """Images to judge graphs in fewer bits by: of the source's validation part, and of the target's."""
    parts = split_objects(dataset.object_ids, dataset.names, recipe.split)
    # Those of private classes decide nothing, neither the threshold in fewer bits nor whether these are good enough.
    rows = np.flatnonzero((parts == "validation") & ~np.isin(dataset.names, recipe.source.private))
    judges = [Judges(dataset.images, rows, dataset.labels[rows])]
    if target is not None:
        judges.append(Judges(*target, np.full(len(target[1]), -1)))
    return judges


def _target_images(
    recipe: Recipe, source: Dataset, record: dict[str, Any], moved: Path | None
) -> tuple[NDArray[np.float32], NDArray[np.intp]] | None:
    """Images of the target, and rows of its training part, not more than are needed; None if there was no target."""
    if recipe.target is None or record["target"] is None:
        return None
    options = replace(recipe.target, path=_at_hand(recipe.target.path, moved, "target"))
    target = read_target(options, source)
    if target.digests != record["target"]["digests"]:
        raise DataError(
            f"{options.path} is not the target of the training, or was changed since: its digests differ. Give the "
            "images as they were, or train again"
        )
    parts = split_objects(source.object_ids, source.names, recipe.split)
    rows = target_rows(target, source, parts, recipe.split)["train"]
    return target.images, _some(rows, TARGET_IMAGES)


def _target_set(recipe: Recipe, record: dict[str, Any], moved: Path | None) -> Path | None:
    """The target's set of cutouts; None if there was no target or it was no such set."""
    if recipe.target is None or record["target"] is None or recipe.target.kind != "cutouts":
        return None
    return Path(moved) if moved else recipe.target.path


def _sample(
    graphs: dict[str, bytes], model: bytes, recipe: Recipe, dataset: Dataset, paths: tuple[Path, Path | None]
) -> tuple[ReferenceSample, dict[str, Any]]:
    """Objects for later releases to be set beside, of the validation parts, and facts about the images."""
    source, target = read_cutout_set(paths[0]), None if paths[1] is None else read_cutout_set(paths[1])
    parts = split_objects(dataset.object_ids, dataset.names, recipe.split)
    # Those of private classes and without label too: they are as much of the survey's sky as the others.
    rows = chosen_rows(np.flatnonzero(parts == "validation"))
    samples = [sample_domain(SOURCE, source, rows, dataset.names[rows], *predict(model, source.images, rows))]
    if target is None or recipe.target is None:
        return samples[0], images_facts(source, None)
    unlabelled = read_target(replace(recipe.target, path=target.path), dataset)
    rows = chosen_rows(target_rows(unlabelled, dataset, parts, recipe.split)["validation"])
    samples.append(sample_domain(TARGET, target, rows, None, *predict(graphs[MODEL], target.images, rows)))
    return join_samples(samples), images_facts(source, target)


def _summarise(scores: Scores, dataset: Dataset, rows: NDArray[np.intp], recipe: Recipe, part: str) -> Evaluation:
    survey = str(dataset.facts["survey"])
    return summarise(
        scores,
        dataset.names[rows],
        dataset.classes,
        model=recipe.name,
        data=survey,
        part=part,
        object_ids=dataset.object_ids[rows],
        resamples=RESAMPLES,
    )


def _test_rows(dataset: Dataset, recipe: Recipe) -> NDArray[np.intp]:
    """Rows of the test part that have a label, those of private classes included."""
    parts = split_objects(dataset.object_ids, dataset.names, recipe.split)
    return np.flatnonzero((parts == "test") & (dataset.names != ""))


def _reference_file(reference: FeatureReference) -> bytes:
    content = io.BytesIO()
    directions = reference.directions.astype(np.float16)
    np.savez_compressed(content, directions=directions, distance=reference.distance, entropy=reference.entropy)
    return content.getvalue()
