"""People's labels, and the objects that they are of.

Surveys number the objects of each release anew, and a catalogue's identifiers are made of these numbers: one object's
identifier is another one's in the next release. So it is the place on the sky that decides.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from galmorph.label_tables import read_label_table, read_label_tables, settle
from galmorph.sky import ARCSEC, unit_vectors

logger = logging.getLogger(__name__)

Places = NDArray[np.intp]

#: Two positions within this many arcsec are one object.
RADIUS = 1.0
#: Two positions of one identifier within this many arcsec are one object: catalogues differ in where its centre is.
NEAR = 3.0


def read_verdicts(tables: Sequence[str | Path], classes: Collection[str] | None = None) -> pd.DataFrame:
    """Verdicts of several tables, one row each; see `galmorph.label_tables.read_label_table`."""
    read = [read_label_table(table, classes) for table in tables]
    return pd.concat(read, ignore_index=True) if read else read_label_tables([])


def settle_on(objects: pd.DataFrame, verdicts: pd.DataFrame, names: Sequence[pd.Series]) -> pd.DataFrame:
    """One label for each object that people speak of.

    A verdict is of the object whose identifier it names, if that lies within `RADIUS` of where the person looked; else
    of the nearest one within `RADIUS`; else of the one whose identifier it names within `NEAR`. Objects without
    positions are known by their identifiers alone.

    Parameters
    ----------
    objects : pandas.DataFrame
        A row each, with `ra` and `dec` in degrees if they have positions.
    verdicts : pandas.DataFrame
        Of `read_verdicts`.
    names : sequence of pandas.Series
        Identifiers that the objects go by; the first that has an object near enough counts.

    Returns
    -------
    pandas.DataFrame
        Of `galmorph.label_tables.settle`, with the `place` among the objects.
    """
    named = [_named(each, verdicts) for each in names]
    place = _placed(objects, verdicts, named) if {"ra", "dec"} <= set(objects.columns) else _first(named)
    found = place >= 0
    if not found.all():
        logger.warning("%d of %d labels are of no object here", np.count_nonzero(~found), len(verdicts))
    settled = settle(verdicts[found].assign(object_id=place[found].astype(str)))
    return settled.assign(place=settled["object_id"].astype(np.intp))


def separations(first: pd.DataFrame, second: pd.DataFrame) -> NDArray[np.float64]:
    """Arcsec between positions of two tables, row by row."""
    chord = np.linalg.norm(_vectors(first) - _vectors(second), axis=1)
    return np.asarray(2 * np.arcsin(np.minimum(chord / 2, 1)) * ARCSEC)


def _placed(objects: pd.DataFrame, verdicts: pd.DataFrame, named: Sequence[Places]) -> Places:
    """Object that each verdict is of, by its identifier and where the person looked; -1 where there is none."""
    if not len(objects) or not len(verdicts):
        return np.full(len(verdicts), -1, dtype=np.intp)

    def within(radius: float, places: Places) -> Places:
        return np.where((places >= 0) & (separations(objects.iloc[places], verdicts) <= radius), places, -1)

    near = [within(NEAR, each) for each in named]
    elsewhere = np.count_nonzero((_first(named) >= 0) & (_first(near) < 0))
    if elsewhere:
        logger.warning(
            "%d of %d labels name an object more than %g arcsec from where the person looked, as those of another "
            "release do: they go by position",
            elsewhere,
            len(verdicts),
            NEAR,
        )
    nearest = cKDTree(_vectors(objects)).query(_vectors(verdicts))[1]
    return _first([*(within(RADIUS, each) for each in named), within(RADIUS, nearest), *near])


def _named(names: pd.Series, verdicts: pd.DataFrame) -> Places:
    """Object whose identifier each verdict names; -1 where there is none."""
    here = pd.Series(np.arange(len(names)), index=names.astype(str).to_numpy())
    here = here[~here.index.duplicated()]
    return verdicts["object_id"].map(here).fillna(-1).to_numpy(dtype=np.intp)


def _first(places: Sequence[Places]) -> Places:
    """Of each verdict the first place that there is; -1 where there is none."""
    result = places[0]
    for each in places[1:]:
        result = np.where(result < 0, each, result)
    return result


def _vectors(table: pd.DataFrame) -> NDArray[np.float64]:
    return unit_vectors(table["ra"].to_numpy(dtype=float), table["dec"].to_numpy(dtype=float))
