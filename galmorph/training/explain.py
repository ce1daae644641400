"""Pictures of what a model has learned: its features on a plane, and where it looks in images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from galmorph.cutout_set import UNIT, read_cutout_set
from galmorph.scores import entropy, softmax
from galmorph.training.data import Dataset, read_source
from galmorph.training.domain_norm import Domain, set_domain
from galmorph.training.domains import check_images
from galmorph.training.evaluate import label_words
from galmorph.training.fit import load_training, moved
from galmorph.training.folder import RECIPE
from galmorph.training.grad_cam import enlarge, grad_cam
from galmorph.training.guarded import predict
from galmorph.training.importers.pictures import COLOURS
from galmorph.training.latent import latent_view
from galmorph.training.module import Training
from galmorph.training.options import Target
from galmorph.training.recipe import Recipe, load_recipe
from galmorph.training.shipped import shipped_checkpoint
from galmorph.training.split import split_objects
from galmorph.training.target import read_target, target_rows

#: What is written.
LATENT, TABLE, CAM = "latent.png", "latent.csv", "grad_cam.png"

#: Images of each domain that are laid out, and images of each predicted class and domain whose maps are drawn.
MOST, SHOWN = 1000, 3

#: How the images of each domain are marked on the plane.
MARKERS: Mapping[Domain, str] = {"source": ".", "target": "+"}


@dataclass(frozen=True)
class Looked:
    """Images of one domain, and what a model says of them.

    Parameters
    ----------
    domain : {"source", "target"}
        Which.
    images : ndarray of float32
        Shape ``(n, bands, N, N)``.
    object_ids, labels : ndarray of str
        Labels are empty where there are none. Shape ``(n,)``.
    logits, features : ndarray of float32
        Shapes ``(n, K)`` and ``(n, d)``.
    """

    domain: Domain
    images: NDArray[np.float32]
    object_ids: NDArray[np.str_]
    labels: NDArray[np.str_]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]


def explain(
    training: Path,
    out: Path,
    *,
    images: Path | None = None,
    data: Path | None = None,
    target: Path | None = None,
    most: int = MOST,
) -> tuple[Path, ...]:
    """Draw what a trained network makes of source and target.

    ``latent.png`` shows the features of both on a plane, by domain, by class, and by the entropy of the answer;
    ``latent.csv`` has the numbers. ``grad_cam.png`` shows some images that the network gives each class, and where in
    them it sees the class. The source's validation part is shown, and the target's, without labels; or in the target's
    place `images`, with the labels that they have.

    Parameters
    ----------
    training : Path
        A checkpoint, or the folder of a training: its best epoch, or that of the model that its guard chose.
    out : Path
        Folder for the files; those of the same names are replaced.
    images : Path, optional
        Set of cutouts to show in place of the target.
    data, target : Path, optional
        Where the images of the training are, if they were moved.
    most : int
        Most images of each domain.

    Returns
    -------
    tuple of Path
        The files.

    Raises
    ------
    ConfigError
        If the network has no maps of convolutions.
    DataError
        If checkpoint or images cannot be used or do not fit each other.
    """
    module, _ = load_training(shipped_checkpoint(training))
    recipe = moved(_recipe(Path(training), module), data, target)
    source = read_source(recipe.source)
    parts = split_objects(source.object_ids, source.names, recipe.split)
    # Those of private classes too.
    rows = np.flatnonzero((parts == "validation") & (source.names != ""))
    looked = [_look(module, "source", source, source.names, rows, most)]
    if images is not None:
        given = read_target(Target(path=images), source)
        check_images(given, images)
        labels = label_words(read_cutout_set(images), recipe.source.class_map)
        looked.append(_look(module, "target", given, labels, np.arange(len(labels)), most))
    elif recipe.target is not None:
        unlabelled = read_target(recipe.target, source)
        rows = target_rows(unlabelled, source, parts, recipe.split)["validation"]
        looked.append(_look(module, "target", unlabelled, unlabelled.names, rows, most))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    table = latent_table(looked, recipe.source.classes)
    table.to_csv(out / TABLE, index=False)
    draw_latent(table, recipe.source.classes).savefig(out / LATENT, dpi=120)
    draw_maps(module, looked).savefig(out / CAM, dpi=120)
    return out / LATENT, out / TABLE, out / CAM


def _recipe(training: Path, module: Training) -> Recipe:
    """The recipe of a network; of a guarded training with the target, which that on the source alone does not name."""
    path = training / RECIPE
    return replace(module.recipe, target=load_recipe(path).target) if path.is_file() else module.recipe


def _look(
    module: Training, domain: Domain, found: Dataset, labels: NDArray[np.str_], rows: NDArray[np.intp], most: int
) -> Looked:
    """What the network says of some of the rows."""
    rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    logits, features = predict(module, found.images, rows, domain)
    return Looked(domain, np.asarray(found.images[rows]), found.object_ids[rows], labels[rows], logits, features)


def latent_table(looked: Sequence[Looked], classes: Sequence[str]) -> pd.DataFrame:
    """Where each image lies on the plane, and what is known of it.

    Parameters
    ----------
    looked : sequence of Looked
        Domains, laid out together.
    classes : sequence of str
        Known classes.

    Returns
    -------
    pandas.DataFrame
        Columns `domain`, `object_id`, `label`, `predicted`, `entropy` (as a share of the largest) and `x`, `y`.
    """
    view = latent_view(np.concatenate([part.features for part in looked]))
    p = softmax(np.concatenate([part.logits for part in looked]))
    return pd.DataFrame(
        {
            "domain": np.concatenate([np.full(len(part.labels), part.domain) for part in looked]),
            "object_id": np.concatenate([part.object_ids for part in looked]),
            "label": np.concatenate([part.labels for part in looked]),
            "predicted": np.array(classes)[p.argmax(axis=1)],
            "entropy": entropy(p) / np.log(max(2, len(classes))),
            "x": view[:, 0],
            "y": view[:, 1],
        }
    )


def draw_latent(table: pd.DataFrame, classes: Sequence[str]) -> Figure:
    """Three views of one plane: by domain, by class, by entropy.

    Parameters
    ----------
    table : pandas.DataFrame
        From `latent_table`.
    classes : sequence of str
        Known classes; other labels are drawn as unknown.

    Returns
    -------
    matplotlib.figure.Figure
        The source's images are dots, the target's are crosses.
    """
    figure = Figure(figsize=(16, 5.2), layout="constrained")
    domains, by_class, sure = figure.subplots(1, 3)
    for axes, title in zip((domains, by_class, sure), ("domain", "label", "entropy of the answer"), strict=True):
        axes.set_title(title)
        axes.set_xticks([])
        axes.set_yticks([])
    for domain, shade in (("source", "tab:blue"), ("target", "tab:orange")):
        _points(domains, table[table["domain"] == domain], color=shade, label=domain)
    wheel = colormaps["tab10" if len(classes) <= 10 else "tab20"]
    _points(by_class, table[table["label"] == ""], color="0.8", label="no label")
    for number, name in enumerate(classes):
        _points(by_class, table[table["label"] == name], color=wheel(number % wheel.N), label=name)
    _points(by_class, table[~table["label"].isin(["", *classes])], color="black", label="unknown")
    for axes in (domains, by_class):
        axes.legend(fontsize="small", markerscale=2)
    _points(sure, table, c=table["entropy"], vmin=0, vmax=1)
    figure.colorbar(sure.collections[0], ax=sure, label="share of the largest entropy")
    return figure


def _points(axes: Axes, table: pd.DataFrame, label: str | None = None, **style: Any) -> None:
    """Rows of a table as marks; the first kind that there is stands in the legend."""
    values = style.pop("c", None)
    for domain, marker in MARKERS.items():
        chosen = table["domain"] == domain
        if not chosen.any():
            continue
        colour = {} if values is None else {"c": values[chosen]}
        axes.scatter(
            table["x"][chosen], table["y"][chosen], s=14, marker=marker, linewidths=0.8, label=label, **colour, **style
        )
        label = None


def draw_maps(module: Training, looked: Sequence[Looked], shown: int = SHOWN) -> Figure:
    """Images as the network sees them, and beside each where it sees the class that it names.

    Parameters
    ----------
    module : Training
        In evaluation mode.
    looked : sequence of Looked
        Domains.
    shown : int
        Images of each predicted class and domain.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each class; above each image its label, if it has one, and the probability of the class.
    """
    classes = module.recipe.source.classes
    columns = 2 * shown * len(looked)
    figure = Figure(figsize=(1.3 * columns + 1, 1.5 * len(classes) + 0.3), layout="constrained")
    grid = figure.subplots(len(classes), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, part in enumerate(looked):
        p = softmax(part.logits)
        for index, row in enumerate(grid):
            rows = np.flatnonzero(p.argmax(axis=1) == index)[:shown]
            if len(rows):
                _draw_row(row[2 * shown * number :], module, part, rows, index, p[rows, index])
    for name, row in zip(classes, grid, strict=True):
        row[0].text(-0.1, 0.5, name, transform=row[0].transAxes, rotation=90, ha="right", va="center")
    return figure


def _draw_row(
    row: NDArray[Any], module: Training, part: Looked, rows: NDArray[np.intp], index: int, p: NDArray[np.float64]
) -> None:
    """Some images of one domain and class, each with its map of that class."""
    images = torch.from_numpy(part.images[rows])
    set_domain(module.network, part.domain)
    with torch.inference_mode():
        pictures = _colours(module.network.stretch(images).numpy(), module.record["facts"]["bands"])
    # The class of the model as it is served, which can differ from what the network says of this one orientation.
    maps = enlarge(grad_cam(module.network, images, torch.full((len(rows),), index)), images.shape[-1])
    # Tiles begin below, pictures above.
    origin: Literal["lower", "upper"] = "lower" if module.record["facts"].get("unit") == UNIT else "upper"
    for place in range(len(rows)):
        left, right = row[2 * place], row[2 * place + 1]
        left.imshow(pictures[place], origin=origin)
        right.imshow(pictures[place].mean(axis=-1), origin=origin, cmap="gray", vmin=0, vmax=1)
        right.imshow(maps[place], origin=origin, cmap="inferno", alpha=0.6, vmin=0, vmax=1)
        label = part.labels[rows[place]] or "no label"
        left.set_title(f"{part.domain}: {label}", fontsize=6)
        right.set_title(f"p = {p[place]:.2f}", fontsize=6)


def _colours(images: NDArray[np.float32], bands: Sequence[str]) -> NDArray[np.float32]:
    """Colour pictures of stretched images, shape ``(n, N, N, 3)``; three bands are shown from blue to red."""
    order = [0, 1, 2] if tuple(bands) == COLOURS else [images.shape[1] - 1, images.shape[1] // 2, 0]
    chosen = np.moveaxis(images[:, order], 1, -1)
    low, high = (np.percentile(chosen, q, axis=(1, 2, 3), keepdims=True) for q in (1, 99.5))
    scaled: NDArray[np.float32] = np.clip((chosen - low) / np.maximum(high - low, 1e-9), 0, 1)
    return scaled
