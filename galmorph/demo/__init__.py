"""The demonstration: an embedded mock survey, classified with an embedded model, and compared with the truth."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.bundle import Bundle, load_bundle
from galmorph.catalogs import Catalog
from galmorph.cutouts import Framing
from galmorph.detection import DetectionConfig
from galmorph.gallery import pictures
from galmorph.inference.run import Progress
from galmorph.pipeline import Classification, classify
from galmorph.render import mosaic
from galmorph.surveys import find_tiles, load_survey
from galmorph.truth import TruthReport, compare, match

#: Profile of the embedded survey.
SURVEY = "mock-decals"

#: Candidates of each kind that are shown.
TOP = 10


@dataclass(frozen=True)
class Demonstration:
    """What the demonstration gave.

    Parameters
    ----------
    bundle : Bundle
        The embedded model.
    result : Classification
        Report and catalogue.
    catalog : Catalog
        The catalogue, opened.
    candidates : dict
        Best lens and merger candidates, by kind.
    picture : Path
        Mosaic of the candidates.
    truth : TruthReport
        The catalogue beside the truth.
    true_candidates : dict
        How many of the candidates are what they are candidates for, by kind.
    """

    bundle: Bundle
    result: Classification
    catalog: Catalog
    candidates: dict[str, pa.Table]
    picture: Path
    truth: TruthReport
    true_candidates: dict[str, int]


def data_folder() -> Path:
    """Folder of the embedded tiles, truth and model."""
    return Path(str(files("galmorph.demo")))


def run_demo(out: Path, progress: Progress | None = None) -> Demonstration:
    """Classify the embedded survey.

    Parameters
    ----------
    out : Path
        Run folder.
    progress : callable, optional
        As for `galmorph.classify`.

    Returns
    -------
    Demonstration
        Catalogue, candidates, their picture and the comparison with the truth.
    """
    tiles = data_folder() / "data" / "tiles"
    bundle = load_bundle(data_folder() / "model")
    result = classify(tiles, SURVEY, bundle, out, progress=progress)
    catalog = result.catalog
    candidates = {kind: catalog.candidates(kind, TOP) for kind in ("lens", "merger")}
    picture = out / "candidates.png"
    _draw(candidates, tiles, bundle, picture)
    truth = pq.read_table(data_folder() / "data" / "truth.parquet").to_pandas()
    found = {kind: _count_true(rows, truth, kind) for kind, rows in candidates.items()}
    return Demonstration(bundle, result, catalog, candidates, picture, _compare(catalog, truth, bundle), found)


def _compare(catalog: Catalog, truth: pd.DataFrame, bundle: Bundle) -> TruthReport:
    rows = catalog.to_pandas()
    return compare(rows[rows["primary"]].reset_index(drop=True), truth, bundle.manifest.classes)


def _count_true(candidates: pa.Table, truth: pd.DataFrame, kind: str) -> int:
    """Candidates that are matched by a true object of the kind."""
    objects = truth[truth["label"] == kind]
    place, _ = match(candidates.to_pandas(), objects, objects["match_radius"].to_numpy(dtype=float))
    return int((place >= 0).sum())


def _draw(candidates: dict[str, pa.Table], tiles: Path, bundle: Bundle, picture: Path) -> None:
    """Mosaic of the candidates with rank and score."""
    survey = load_survey(SURVEY)
    sources, _ = find_tiles([tiles], survey)
    # More pixels than the model takes: the picture is for people.
    framing = Framing(**{**vars(bundle.manifest.framing), "size": 128})
    images: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for kind, rows in candidates.items():
        images.extend(pictures(rows, sources, survey, DetectionConfig(), framing))
        captions.extend(
            f"{kind} {rank}: {row['score']:.2f}\n{row['label']}{' (unknown)' if row['unknown'] else ''}"
            for rank, row in enumerate(rows.to_pylist(), start=1)
        )
    mosaic(images, captions, columns=5, side=160).save(picture)
