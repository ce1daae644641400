"""How often the nearest objects in the space of features have the label of an object, by several measures.

The embedded tiles and model of the demonstration; labels from the embedded truth.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from common.outcome import entry, finish, parser

import galmorph
from galmorph.demo import SURVEY, data_folder
from galmorph.truth import match

NEAREST = 5
#: Least share of like labels for the measure that is used.
TARGET = 0.95


def labelled(out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and true labels of the detected objects that have one."""
    result = galmorph.classify(data_folder() / "data" / "tiles", SURVEY, data_folder() / "model", out, embedding=True)
    rows = result.catalog.to_pandas().query("primary").reset_index(drop=True)
    truth = pd.read_parquet(data_folder() / "data" / "truth.parquet").query("label != ''").reset_index(drop=True)
    place, _ = match(rows, truth, truth["match_radius"].to_numpy(dtype=float))
    found = place >= 0
    vectors = np.stack(rows["embedding"].iloc[place[found]].to_list()).astype(np.float32)
    return vectors, truth["label"].to_numpy(dtype=object)[found]


def share(distance: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean share of the nearest that have the same label: of all objects, and of lenses."""
    np.fill_diagonal(distance, np.inf)
    same = (labels[np.argsort(distance, axis=1)[:, :NEAREST]] == labels[:, None]).mean(axis=1)
    return {"all": round(float(same.mean()), 3), "lens": round(float(same[labels == "lens"].mean()), 3)}


def cosine(vectors: np.ndarray) -> np.ndarray:
    """Distance by the angle."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return 1 - unit @ unit.T


def euclid(vectors: np.ndarray) -> np.ndarray:
    """Squared distance."""
    return ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)


def main() -> None:
    """Measure, print, and with ``--check`` fail when the target is missed."""
    check = parser(__doc__).parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        vectors, labels = labelled(Path(folder) / "run")
    scaled = (vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-9)
    measures = {
        "cosine": cosine(vectors), "Euclid": euclid(vectors),
        "cosine, scaled": cosine(scaled), "Euclid, scaled": euclid(scaled),
    }  # fmt: skip
    results = []
    for name, distance in measures.items():
        shares = share(distance, labels)
        target = TARGET if name == "cosine" else None
        results.append(entry(name, shares["all"], target, objects=len(labels), lens=shares["lens"]))
    finish("likeness", results, check=check)


if __name__ == "__main__":
    main()
