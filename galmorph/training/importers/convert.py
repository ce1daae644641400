"""From images that are read one by one to a set of cutouts, with every fault named."""

import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord
from numpy.typing import NDArray

import galmorph
from galmorph.cutout_set import PIXEL_VALUES, REJECTS, read_cutout_set, refuse_other_folder, write_cutout_set
from galmorph.cutouts import Framing
from galmorph.errors import DataError
from galmorph.progress import watched
from galmorph.training.pictures import each_band, is_blank

logger = logging.getLogger(__name__)

#: What to do about an image that cannot be used, or has no label: fail, or leave it out and say so.
Faults = Literal["refuse", "skip"]

#: Scale of a data set that does not say, arcsec per pixel.
UNKNOWN = 1.0

#: Faults that a message names.
SHOWN = 3


@dataclass(frozen=True)
class Images:
    """A data set before it is converted.

    Parameters
    ----------
    table : pandas.DataFrame
        A row per image with `object_id`, `name` (to call it by) and `label`: a word, empty for an image that is
        unlabelled on purpose, None where a label is missing. Other columns are kept.
    read : callable
        Gives the image of a row as it is, float32 ``(bands, N, N)``; raises DataError if it cannot.
    survey : str
        What to call the survey.
    bands : tuple of str
        Names of the bands.
    pixel_scale : float or None
        Arcsec per pixel before any resizing; 1 where the data set does not say. None: there is no sky in the images,
        and a pixel of what is written counts as one arcsec.
    framing : Framing or None
        How `frame` frames objects.
    frame : callable or None
        Makes of an image one that the object at its centre fills; raises DataError if it cannot.
    """

    table: pd.DataFrame
    read: Callable[[int], NDArray[np.float32]]
    survey: str
    bands: tuple[str, ...]
    pixel_scale: float | None = UNKNOWN
    framing: Framing | None = None
    frame: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None


@dataclass(frozen=True)
class Imported:
    """What an import made.

    Parameters
    ----------
    path : Path
        The set of cutouts.
    counts : dict
        Images of each label, unlabelled ones under the empty word.
    dropped : dict
        Images of classes that were to be left out.
    faults : dict
        Why an image was skipped, by its name, and by its number where others have that name too.
    """

    path: Path
    counts: Mapping[str, int]
    dropped: Mapping[str, int]
    faults: Mapping[str, str]


def convert(
    images: Images,
    out: Path,
    *,
    drop: Collection[str] = (),
    most: int | None = None,
    angle: float | None = None,
    size: int | None = None,
    faults: Faults = "refuse",
    same_objects_as: Path | None = None,
) -> Imported:
    """Write a data set as a set of cutouts.

    Parameters
    ----------
    images : Images
        The data set.
    out : Path
        Folder to make.
    drop : collection of str
        Labels to leave out; one that no image has is warned of.
    most : int, optional
        Most images of a label; which are kept depends on identifiers alone, so a larger number keeps these too.
    angle : float, optional
        Side of the square of sky about the centre that is kept, in arcsec, to the nearest pixel: two surveys' images
        of the same angle show the same sky.
    size : int, optional
        Pixels a side to resize to, by area means when images shrink.
    faults : {"refuse", "skip"}
        ``refuse``: fail if an image cannot be read, is blank or not finite, has other bands, or has no label or
        identifier, naming all. ``skip``: leave such images out, with their names and the reason in ``rejects.csv``.
    same_objects_as : Path, optional
        Another set: see `same_objects`.

    Returns
    -------
    Imported
        Counts, and what was left out.

    Raises
    ------
    DataError
        If an image cannot be used and faults are refused, identifiers are rounded numbers, images differ in shape, show
        less than `angle` or, without one and at a known scale, different angles, none is left, or a number makes no
        sense.
    """
    _check(most=most, angle=angle, size=size)
    _check_identifiers(images.table["object_id"].astype(str))
    out = Path(out)
    refuse_other_folder(out)
    names = _told_apart(images.table["name"].astype(str))
    labels = images.table["label"].tolist()
    _tell_absent(drop, labels)
    _tell_alike(labels)
    kept = [row for row, label in enumerate(labels) if label not in drop]
    found: dict[str, str] = {}

    def usable(row: int) -> bool:
        # Those that are skipped make room for others.
        return faults == "refuse" or _usable(images, row, names[row], found, images.frame) is not None

    kept = kept if most is None else _fewer(kept, labels, images.table["object_id"].astype(str).tolist(), most, usable)
    rows: list[int] = []
    sides: set[int] = set()
    if faults == "refuse" and images.frame is not None:
        # Framing takes long, and need not be waited for to hear of a file that cannot be read.
        refuse_unusable(images, kept)
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch,
        (Path(scratch) / "images").open("wb") as stack,
    ):
        shape: tuple[int, ...] = ()
        for row in watched(kept, "importing"):
            image = _usable(images, row, names[row], found, images.frame)
            if image is None:
                continue
            image = _crop(images, image, angle, names[row])
            sides.add(image.shape[-1])
            if len(sides) > 1 and images.pixel_scale not in (None, UNKNOWN):
                raise DataError(
                    f"{names[row]} has {image.shape[-1]} pixels a side, and others have not, which is another angle of "
                    "the sky at one scale. Cut the angle that all of them show (angle), frame them by their objects "
                    "(factor), or import each size as a set of its own"
                )
            image = _resize(image, size)
            shape = shape or image.shape
            if image.shape != shape:
                raise DataError(
                    f"{names[row]} has the shape {image.shape}, images before it {shape}; it has to be one: "
                    "resize them (size)"
                )
            # To disk, because published sets are larger than memory once they are float32.
            stack.write(np.ascontiguousarray(image, dtype=np.float32).data)
            rows.append(row)
        if faults == "refuse":
            _refuse(found, len(kept))
        if not rows:
            raise DataError(f"no image of {images.survey} is left for {out}: {_first(found) or 'all were dropped'}")
        table = images.table.iloc[rows].reset_index(drop=True)
        if same_objects_as is not None:
            table["object_id"] = same_objects(table, read_cutout_set(same_objects_as).labels)
        counts = dict(sorted(Counter(table["label"].tolist()).items()))
        stack.flush()
        written = np.memmap(stack.name, np.float32, "r", shape=(len(rows), *shape))
        # Of pictures of several sizes and no known scale nothing is left but the pixels that are written.
        side = sides.pop() if len(sides) == 1 else shape[-1]
        write_cutout_set(out, written, table, _facts(images, angle, side, shape[-1], counts))
    pd.DataFrame(found.items(), columns=["name", "reason"]).to_csv(out / REJECTS, index=False)
    if found:
        looked_at = len(found) + len(rows)
        logger.warning("%s: %d of %d images are skipped: %s", out, len(found), looked_at, _first(found))
    return Imported(out, counts, dict(Counter(label for label in labels if label in drop)), found)


def refuse_unusable(images: Images, rows: Sequence[int] | None = None) -> None:
    """Fail if an image cannot be used as it is, before anything is written.

    Parameters
    ----------
    images : Images
        The data set.
    rows : sequence of int, optional
        Those to look at, by default all.

    Raises
    ------
    DataError
        With the first ones, and their number.
    """
    names, found = _told_apart(images.table["name"].astype(str)), dict[str, str]()
    rows = range(len(names)) if rows is None else rows
    for row in watched(rows, "looking at the images"):
        _usable(images, row, names[row], found)
    _refuse(found, len(rows))


def _check(**numbers: float | None) -> None:
    """Refuse numbers that are given and make no sense."""
    for what, number in numbers.items():
        if number is not None and not 0 < number < np.inf:
            raise DataError(f"{what} must be more than 0, got {number}")


def _tell_absent(drop: Collection[str], labels: Sequence[str | None]) -> None:
    """Warn of labels to leave out that no image has."""
    if absent := sorted(set(drop) - set(labels)):
        logger.warning(
            "no image is labelled %s, which was to be left out; the labels are %s",
            " or ".join(absent),
            ", ".join(sorted({label for label in labels if label})) or "none",
        )


def _tell_alike(labels: Sequence[str | None]) -> None:
    """Warn of labels that are the same word but for capitals and spaces, and make classes of their own."""
    words = sorted({label for label in labels if label})
    keys = ["".join(word.split()).lower() for word in words]
    alike = [word for word, key in zip(words, keys, strict=True) if keys.count(key) > 1]
    if alike:
        logger.warning(
            "the labels %s differ in capitals or spaces alone, and are classes of their own; "
            "if they mean the same, correct the table",
            ", ".join(alike),
        )


def _told_apart(names: pd.Series) -> list[str]:
    """Names, with the number of the image where several have one."""
    twice = names.duplicated(keep=False)
    return [f"{name} (image {row})" if twice[row] else name for row, name in enumerate(names.tolist())]


def _check_identifiers(object_ids: "pd.Series[str]") -> None:
    """Refuse numbers that a program rounded: of several objects they make one."""
    twice = object_ids[object_ids.duplicated()]
    rounded = twice[twice.str.fullmatch(r"\d(\.\d+)?[eE]\+\d{2,}")]
    if len(rounded):
        raise DataError(
            f"object_id has rounded numbers more than once, such as {rounded.iloc[0]}, so that different objects would "
            "be one; expected identifiers with all their digits. Write the column as text"
        )


def _usable(
    images: Images,
    row: int,
    name: str,
    found: dict[str, str],
    frame: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
) -> NDArray[np.float32] | None:
    """The image of a row, framed; None when something is wrong with it, which is taken down in `found`."""
    try:
        if images.table["label"].iloc[row] is None:
            raise DataError(f"{name} has no label")
        object_id = images.table["object_id"].iloc[row]
        if pd.isna(object_id) or not str(object_id).strip():
            raise DataError(f"{name} has no object_id")
        image = images.read(row)
        if len(image) != len(images.bands):
            raise DataError(
                f"{name}: the number of its bands is {len(image)}, and they were to be {', '.join(images.bands)}"
            )
        if not np.isfinite(image).all():
            raise DataError(f"{name} holds values that are not finite")
        if is_blank(image):
            raise DataError(f"{name} is blank: every value is {each_band(image)}")
        try:
            return image if frame is None else frame(image)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
    except DataError as error:
        found[name] = str(error)
        return None


def _refuse(found: Mapping[str, str], images: int) -> None:
    """Raise an error that names what cannot be used, if there is anything."""
    if found:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise DataError(
            f"{len(found)} of {images} images cannot be used: {_first(found)}{more}. Correct them, or have such images "
            "left out: --faults skip, or faults='skip' in Python"
        )


def _fewer(rows: list[int], labels: list[Any], ids: list[str], most: int, usable: Callable[[int], bool]) -> list[int]:
    """The rows with no more than `most` usable ones of each label."""
    numbers: Counter[Any] = Counter()
    chosen = []
    for row in sorted(rows, key=lambda row: hashlib.blake2b(ids[row].encode(), digest_size=8).digest()):
        if numbers[labels[row]] < most and usable(row):
            numbers[labels[row]] += 1
            chosen.append(row)
    return sorted(chosen)


def _crop(images: Images, image: NDArray[np.float32], angle: float | None, name: str) -> NDArray[np.float32]:
    """The square of sky about the centre."""
    if angle is None:
        return image
    whole = image.shape[-1]
    shown = whole * (images.pixel_scale or 1.0)
    # As many pixels are taken away on both sides, so that the centre stays the centre.
    edge = round((whole - whole * angle / shown) / 2)
    if edge < 0 or 2 * edge >= whole:
        raise DataError(f"{name} shows {shown:g} arcsec: an angle of {angle:g} cannot be cut out of it")
    return image[:, edge : whole - edge, edge : whole - edge]


def _resize(image: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    """The image at that many pixels a side."""
    if size is None or image.shape[-1] == size:
        return image
    method = cv2.INTER_AREA if size < image.shape[-1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(plane, (size, size), interpolation=method) for plane in image])


def _facts(images: Images, angle: float | None, side: int, pixels: int, counts: Mapping[str, int]) -> dict[str, Any]:
    """What the set says of itself; all its images show one angle, that of the published ones unless it was chosen."""
    scale = 1.0 if images.pixel_scale is None else images.pixel_scale * side / pixels
    angle, scale = (scale * pixels, scale) if angle is None else (angle, angle / pixels)
    return {
        "survey": images.survey,
        "bands": list(images.bands),
        "pixel_scale": scale,
        "framing": asdict(images.framing or Framing(size=pixels, mode="angle", angle=angle)),
        "unit": PIXEL_VALUES,
        "classes": [name for name in counts if name],
        "counts": dict(counts),
        "source": f"galmorph {galmorph.__version__} import of {images.survey}",
    }


def degrees(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Right ascension and declination of a table as numbers, NaN where there is none.

    Parameters
    ----------
    table : pandas.DataFrame
        Perhaps with `ra` and `dec`.
    path : Path
        Where it is from, for the message.

    Returns
    -------
    pandas.DataFrame
        The table with numbers in these columns.

    Raises
    ------
    DataError
        If one holds anything but degrees.
    """
    table = table.copy()
    for name, low, high in (("ra", -180, 360), ("dec", -90, 90)):
        if name not in table:
            continue
        numbers = pd.to_numeric(table[name], errors="coerce")
        empty = table[name].isna() | (table[name].astype(str).str.strip() == "")
        wrong = np.flatnonzero(~empty & ~numbers.between(low, high))
        if wrong.size:
            raise DataError(
                f"{path}: {name} must be degrees from {low} to {high}, or empty; row {wrong[0] + 1} has "
                f"{str(table[name].iloc[wrong[0]])!r}. Correct the column, or leave it out"
            )
        table[name] = numbers
    return table


def same_objects(table: pd.DataFrame, others: pd.DataFrame, radius: float = 2.0) -> list[str]:
    """Identifiers under which two surveys' images of one object are known to be so.

    Parameters
    ----------
    table, others : pandas.DataFrame
        Rows of two sets with `object_id`, `ra` and `dec` in degrees; those without a position match nothing.
    radius : float
        Rows within this many arcsec are one object.

    Returns
    -------
    list of str
        For each row of `table` the identifier of the object in `others` that it shows, the nearest, or else its own.
        All images of an object have the same.

    Raises
    ------
    DataError
        If positions are missing.
    """
    for rows in (table, others):
        if not {"ra", "dec"} <= set(rows.columns):
            raise DataError(f"objects are matched by ra and dec, and there is only {', '.join(rows.columns)}")
    objects, placed = (rows.dropna(subset=["ra", "dec"]) for rows in (others, table))
    own = table["object_id"].astype(str)
    if objects.empty or placed.empty:
        return own.tolist()
    there, here = (SkyCoord(rows["ra"], rows["dec"], unit="deg") for rows in (objects, placed))
    nearest, separation, _ = here.match_to_catalog_sky(there)
    close = separation.arcsec <= radius
    found = objects["object_id"].astype(str).to_numpy()[nearest[close]]
    taken = dict(zip(own.loc[placed.index[close]][::-1], found[::-1], strict=True))
    return [str(taken.get(name, name)) for name in own]


def _first(found: Mapping[str, str]) -> str:
    return "; ".join(list(found.values())[:SHOWN])
