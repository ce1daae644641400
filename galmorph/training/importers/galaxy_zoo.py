"""Galaxy Zoo 2 (Willett et al. 2013): classes from vote fractions, and pictures by identifier."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.errors import DataError
from galmorph.table_files import UNREADABLE
from galmorph.training.importers.centred import framed
from galmorph.training.importers.convert import Faults, Images, Imported, convert, degrees
from galmorph.training.importers.pictures import COLOURS
from galmorph.training.pictures import read_picture

logger = logging.getLogger(__name__)

#: Columns of identifiers in the published tables, in order of preference.
ID_COLUMNS = ("dr7objid", "objid")

SUFFIXES = (".jpg", ".jpeg", ".png")

Rules = Mapping[str, Mapping[str, float]]

_DISC = {"t01_smooth_or_features_a02_features_or_disk": 0.5, "t06_odd_a15_no": 0.5}
_FACE_ON = _DISC | {"t02_edgeon_a05_no": 0.5, "t04_spiral_a08_spiral": 0.5}
_EDGE_ON = _DISC | {"t02_edgeon_a04_yes": 0.5}
_SMOOTH = {"t01_smooth_or_features_a01_smooth": 0.5, "t06_odd_a15_no": 0.5}
_ODD = {"t06_odd_a14_yes": 0.5}

#: Least votes for each class of DeepAstroUDA (its section 4.2 names the classes and not the thresholds: a majority on
#: every answer of the path to the class is our choice).
GZ2_RULES: Rules = MappingProxyType(
    {
        "disturbed": _ODD | {"t08_odd_feature_a21_disturbed": 0.5},
        "merging": _ODD | {"t08_odd_feature_a24_merger": 0.5},
        "lens": _ODD | {"t08_odd_feature_a20_lens_or_arc": 0.5},
        "round_smooth": _SMOOTH | {"t07_rounded_a16_completely_round": 0.5},
        "in_between_smooth": _SMOOTH | {"t07_rounded_a17_in_between": 0.5},
        "cigar_smooth": _SMOOTH | {"t07_rounded_a18_cigar_shaped": 0.5},
        "barred_spiral": _FACE_ON | {"t03_bar_a06_bar": 0.5},
        "tight_spiral": _FACE_ON | {"t03_bar_a07_no_bar": 0.5, "t10_arms_winding_a28_tight": 0.5},
        "loose_spiral": _FACE_ON | {"t03_bar_a07_no_bar": 0.5, "t10_arms_winding_a30_loose": 0.5},
        "edge_on_no_bulge": _EDGE_ON | {"t09_bulge_shape_a27_no_bulge": 0.5},
        "edge_on_bulge": _EDGE_ON | {"t09_bulge_shape_a25_rounded": 0.5},
    }
)


#: Fractions of debiased votes may lie a little beyond 1.
MOST_VOTES = 1.5


def classes_by_votes(table: pd.DataFrame, rules: Rules = GZ2_RULES, votes: str = "debiased") -> list[str]:
    """Class of each galaxy by least fractions of votes.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``ANSWER_VOTES`` of vote fractions, as ``t02_edgeon_a04_yes_debiased``.
    rules : mapping
        For each class the answers that have to reach a fraction.
    votes : str
        Which fractions: ``debiased``, ``fraction`` or ``weighted_fraction``.

    Returns
    -------
    list of str
        The class whose every threshold is reached; empty if it is none, or more than one.

    Raises
    ------
    DataError
        If a column is missing, or holds anything but fractions.
    """
    needed = sorted({f"{answer}_{votes}" for rule in rules.values() for answer in rule})
    missing = [name for name in needed if name not in table]
    if missing:
        raise DataError(
            f"the table of votes lacks {len(missing)} columns that the rules name: {', '.join(missing[:3])}"
        )
    strange = [name for name in needed if not pd.api.types.is_numeric_dtype(table[name])]
    if strange:
        raise DataError(f"the column {strange[0]} of the table of votes holds words; expected fractions from 0 to 1")
    largest = table[needed].max()
    if largest.max() > MOST_VOTES:
        raise DataError(
            f"the column {largest.idxmax()} of the table of votes goes up to {largest.max():g}; expected fractions "
            "from 0 to 1. Divide votes in percent by 100"
        )
    reached = np.stack(
        [
            np.all(
                [table[f"{answer}_{votes}"].to_numpy(dtype=float) >= least for answer, least in rule.items()], axis=0
            )
            for rule in rules.values()
        ],
        axis=1,
    )
    names = np.array([*rules], dtype=object)
    return [str(names[row.argmax()]) if row.sum() == 1 else "" for row in reached]


def import_galaxy_zoo(
    votes: Path,
    pictures: Path,
    out: Path,
    *,
    rules: Rules = GZ2_RULES,
    kind: str = "debiased",
    survey: str = "sdss",
    pixel_scale: float = 0.396,
    drop: Collection[str] = (),
    most: int | None = None,
    angle: float | None = None,
    factor: float | None = None,
    size: int | None = None,
    unlabelled: bool = False,
    faults: Faults = "refuse",
    same_objects_as: Path | None = None,
) -> Imported:
    """Convert a table of votes and a folder of pictures that are called by identifier, as ``587722981742084144.jpg``.

    Parameters
    ----------
    votes : Path
        CSV (also .gz) with ``dr7objid`` or ``objid``, ``ra``, ``dec`` and vote fractions.
    pictures : Path
        Folder of colour pictures.
    out : Path
        Folder to make.
    rules, kind
        See `classes_by_votes`.
    survey : str
        What to call the survey.
    pixel_scale : float
        Arcsec per pixel of the pictures.
    unlabelled : bool
        Galaxies of no class are kept as unlabelled images; otherwise they are left out, and are no fault.
    factor
        See `galmorph.training.importers.pictures.import_pictures`.
    drop, most, angle, size, faults, same_objects_as
        See `convert`; a galaxy of a class whose picture is missing is a fault.

    Returns
    -------
    Imported
        Counts, and what was left out.

    Raises
    ------
    DataError
        If the table or, with faults refused, a picture cannot be used.
    """
    try:
        # Identifiers are read as text, not to lose digits of long ones.
        table = pd.read_csv(votes, dtype=dict.fromkeys(ID_COLUMNS, str))
    except UNREADABLE as error:
        raise DataError(f"cannot read the table of votes {votes}: {error}") from error
    name = next((column for column in ID_COLUMNS if column in table), None)
    if name is None or not {"ra", "dec"} <= set(table.columns):
        raise DataError(
            f"{votes} needs the columns {' or '.join(ID_COLUMNS)}, ra and dec; has {list(table.columns)[:5]}"
        )
    table = degrees(table, votes)
    ids = table[name].str.strip()
    if (twice := ids[ids.duplicated() & ids.notna()].unique()).size:
        raise DataError(
            f"{votes}: {twice.size} galaxies stand in more than one row, such as {twice[0]}; expected a row for each. "
            "Leave one of these rows"
        )
    labels = pd.Series(classes_by_votes(table, rules, kind), dtype=object)
    rows = pd.DataFrame(
        {
            "object_id": ids,
            "name": ids.where(ids.notna(), [f"row {row + 1} of {votes}" for row in range(len(ids))]),
            "label": labels,
            "ra": table["ra"],
            "dec": table["dec"],
        }
    )
    if not unlabelled and (without := int((labels == "").sum())):
        told = f"{votes}: {without} of {len(rows)} galaxies reach the votes of no class, or of several"
        if without == len(rows):
            raise DataError(f"{told}; nothing is left. Keep them as unlabelled images, or give other rules")
        logger.warning("%s, and are left out", told)
    rows = rows if unlabelled else rows[labels != ""]
    rows = rows.reset_index(drop=True)
    described = Images(rows, _reader(Path(pictures), rows["object_id"].tolist()), survey, COLOURS, pixel_scale)
    return convert(
        framed(described, factor, size, angle),
        Path(out),
        drop=drop,
        most=most,
        angle=angle,
        size=size,
        faults=faults,
        same_objects_as=same_objects_as,
    )


def _reader(folder: Path, ids: Sequence[str]) -> Callable[[int], NDArray[np.float32]]:
    """Reader of the picture of each galaxy."""
    there = [path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES]
    # Of several with one name the first suffix goes.
    files = {path.stem: path for path in sorted(there, key=lambda path: -SUFFIXES.index(path.suffix.lower()))}

    def read(row: int) -> NDArray[np.float32]:
        if ids[row] not in files:
            raise DataError(f"{folder} has no picture {ids[row]} ({', '.join(SUFFIXES)})")
        return read_picture(files[ids[row]])

    return read
