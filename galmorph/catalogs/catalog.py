"""Open a catalogue: what it holds, questions in SQL, candidates."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.catalogs.info import CatalogInfo, collect_info
from galmorph.catalogs.nearest import no_column
from galmorph.catalogs.partitions import Partition
from galmorph.catalogs.properties import COLLECTION_FILE, read_properties, stamp_of
from galmorph.catalogs.schema import bands_of, classes_of, describe, other_column, schema
from galmorph.errors import CatalogError

# What answers a question is imported by the question: a catalogue opens at once.
if TYPE_CHECKING:
    import pandas as pd

    from galmorph.catalogs.candidates import Wishes
    from galmorph.catalogs.regions import Region

#: Newest version of provenance.json that can be read.
_FORMAT = 1
_MAGIC = b"PAR1"
#: How often a question is asked of a catalogue that is replaced while it is read.
_TRIES = 20

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Catalog:
    """A catalogue on disk; made by `open_catalog`.

    Parameters
    ----------
    path : Path
        Folder.
    files : tuple of Path
        One Parquet file per partition.
    schema : pyarrow.Schema
        Columns with unit, UCD and description.
    provenance : mapping
        What the writer was told of where the rows come from.
    match_radius : float
        Rows of different tiles within this angle (arcsec) were taken for one object.
    max_rows : int
        Largest number of rows that a partition was allowed.
    stamp : tuple of int
        What tells the folder from one that takes its place. A question that finds another is asked again of that, so
        that an answer is of the old catalogue or of the new, never of both.
    """

    path: Path
    files: tuple[Path, ...] = field(repr=False)
    schema: pa.Schema = field(repr=False)
    provenance: Mapping[str, Any] = field(repr=False, hash=False)
    match_radius: float = field(default=1.0, repr=False)
    max_rows: int = field(default=1_000_000, repr=False)
    stamp: tuple[int, int] = field(default=(0, 0), repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that the model knows."""
        return classes_of(self.schema)

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of the survey."""
        return bands_of(self.schema)

    def query(
        self, sql: str, *, within: "Sequence[Region]" = (), timeout: float = 60.0, memory: str = "2GB"
    ) -> pa.Table:
        """Answer one SELECT over the table `catalog`.

        Text that nobody has vouched for is safe. The column primary is a word of SQL: write "primary".
        `has_flag(flags, 'SATURATED')` reads a bit of the column flags, and `in_cone(ra, dec, 150.1, 2.2, 0.5)`,
        `in_box`, `in_polygon` and `separation` tell where a row lies.

        Parameters
        ----------
        sql : str
            One SELECT statement in DuckDB's SQL.
        within : sequence of Region
            Parts of the sky from `galmorph.catalogs.regions`; the table has only rows that lie in all of them, and
            files that can have none are not opened.
        timeout : float
            Seconds after which it is stopped.
        memory : str
            Most memory for the work, and most for the result, such as "500MB" or "2GB".

        Returns
        -------
        pyarrow.Table
            The result.

        Raises
        ------
        CatalogError
            If the text is anything but one SELECT over the table, or it fails.
        """
        from galmorph.catalogs.query import run_query

        return self._steadily(
            lambda now: describe(run_query(now.files, sql, within=within, timeout=timeout, memory=memory), now.schema)
        )

    def candidates(
        self,
        kind: str,
        top: int = 10,
        wishes: "Wishes | None" = None,
        *,
        timeout: float = 60.0,
        memory: str = "2GB",
    ) -> pa.Table:
        """Best candidates of a kind, one row per object.

        Parameters
        ----------
        kind : {"lens", "merger", "unknown"}
            What is looked for.
        top : int
            How many, at most.
        wishes : Wishes, optional
            What else is asked: a least colour, pairs in contact, likeness to examples.
        timeout : float
            Seconds after which a query is stopped.
        memory : str
            Most memory for a query, and most for its result, such as "500MB" or "2GB".

        Returns
        -------
        pyarrow.Table
            Best first; the column `score` is what they are ranked by.

        Raises
        ------
        CatalogError
            If there is no such kind, or the classes of the model cannot tell.
        """
        from galmorph.catalogs.candidates import find_candidates

        def ask(now: Catalog) -> pa.Table:
            about = now.files, now.schema, now.provenance
            return describe(find_candidates(*about, kind, top, wishes, timeout=timeout, memory=memory), now.schema)

        return self._steadily(ask)

    def similar(
        self,
        to: Sequence[int] = (),
        *,
        positions: str | Path | None = None,
        features: NDArray[np.floating] | None = None,
        top: int = 20,
        radius: float | str = 3.0,
        approximate: bool = False,
    ) -> pa.Table:
        """Rows that are most like examples, by the cosine of their embeddings with the nearest example's.

        Parameters
        ----------
        to : sequence of int
            Object ids of examples in this catalogue.
        positions : str or Path, optional
            Table of positions of more examples, matched with rows of this catalogue.
        features : ndarray of float, shape (k, d), optional
            Features of more examples, by the model of this catalogue.
        top : int
            How many rows, at most.
        radius : float or str
            Largest separation of a position from its row: arcsec, or with a unit.
        approximate : bool
            Look into an index beside the catalogue, made when it is first needed, in place of every embedding.

        Returns
        -------
        pyarrow.Table
            Primary rows other than the examples, best first: `similarity`, `example` (place of the nearest example, in
            the order ids, positions, features) and what a candidate has.

        Raises
        ------
        CatalogError
            If the catalogue keeps no embeddings, there is no example, or an example cannot be found.
        """
        return self._steadily(lambda now: now._similar(to, positions, features, top, radius, approximate))

    def to_pandas(self, columns: Sequence[str] | None = None) -> "pd.DataFrame":
        """All rows, primary or not, as a data frame.

        Parameters
        ----------
        columns : sequence of str, optional
            Names of the columns; all by default.

        Returns
        -------
        pandas.DataFrame
            Sorted on the sky.

        Raises
        ------
        CatalogError
            If there is no such column.
        """
        wanted = list(columns) if columns is not None else self.schema.names
        strangers = [name for name in wanted if name not in self.schema.names]
        if strangers:
            raise no_column(self.path, strangers, self.schema.names)
        frame: pd.DataFrame = self._steadily(
            lambda now: pa.concat_tables(
                [pq.read_table(path, columns=wanted, partitioning=None) for path in now.files]
            ).to_pandas()
        )
        return frame

    def info(self) -> CatalogInfo:
        """What the catalogue holds, counted when it was written."""
        return self._steadily(lambda now: collect_info(now.path, now.files, now.schema, now.provenance))

    def _similar(
        self,
        to: Sequence[int],
        positions: str | Path | None,
        features: NDArray[np.floating] | None,
        top: int,
        radius: float | str,
        approximate: bool,
    ) -> pa.Table:
        from galmorph.catalogs.similarity import (
            embedding_length,
            embeddings_of,
            find_probably_similar,
            find_similar,
        )

        embedding_length(self.files)
        known = [int(identifier) for identifier in to]
        if positions is not None:
            from galmorph.catalogs.matching import crossmatch

            found = crossmatch(self.path, positions, radius, other_columns=[])
            known += [identifier for identifier in found.pairs["object_id"].to_pylist() if identifier not in known]
        if not known and features is None:
            where = f"; none of the {found.entries} positions lies within {radius} of a row" if positions else ""
            raise CatalogError(f"likeness needs an example: an object id, a position or an image{where}")
        examples = [embeddings_of(self.files, known)] if known else []
        examples += [np.atleast_2d(features)] if features is not None else []
        lengths = {len(part[0]) for part in examples}
        if len(lengths) > 1:
            raise CatalogError(
                f"examples have features of different lengths, {sorted(lengths)}: another model made some"
            )
        together = np.concatenate(examples)
        if approximate:
            found_rows = find_probably_similar(self.path, self.files, together, top, leave_out=known)
        else:
            found_rows = find_similar(self.files, together, top, leave_out=known)
        return describe(found_rows, self.schema)

    def _steadily(self, question: "Callable[[Catalog], Answer]") -> "Answer":
        """Answer of one catalogue, this or the one that took its place meanwhile."""
        now = self
        for _ in range(_TRIES):
            try:
                answer = question(now)
            except CatalogError:
                if stamp_of(now.path) == now.stamp:
                    raise
            except (OSError, pa.ArrowException) as error:
                if stamp_of(now.path) == now.stamp:
                    raise CatalogError(
                        f"{now.path} cannot be read: {' '.join(str(error).split())}. `galmorph catalog check` tells "
                        "which files are damaged; copy the catalogue again, or give the command of its run again"
                    ) from error
            else:
                if stamp_of(now.path) == now.stamp:
                    return answer
            now = open_catalog(self.path)
        raise CatalogError(f"{self.path} is replaced faster than it can be read; ask again when that is over")

    def draw_sky(self, path: str | Path) -> None:
        """Draw where the catalogue has rows: the sky in Mollweide's projection, and a small field by itself.

        Parameters
        ----------
        path : str or Path
            Picture to write.

        Raises
        ------
        CatalogError
            If it cannot be written.
        """
        from galmorph.catalogs.sky_map import draw_sky  # its libraries take a second to load

        info = self.info()
        healpix = self.to_pandas(["_healpix_29"])["_healpix_29"].to_numpy()
        title = f"{', '.join(info.survey)} {', '.join(info.release)}: {info.rows} rows, {info.area:.4g} square degrees"
        draw_sky(healpix, info.centre, info.extent, title, Path(path))


def open_catalog(path: str | Path) -> Catalog:
    """Open a catalogue that galmorph wrote.

    Parameters
    ----------
    path : str or Path
        Folder of the catalogue, or of a collection, of which the default member is opened.

    Returns
    -------
    Catalog
        Ready to be asked. Its files are checked to be there and complete; no rows are read.

    Raises
    ------
    CatalogError
        If the folder is not a catalogue of galmorph, of a newer layout, or damaged.
    """
    path = Path(path)
    if (path / COLLECTION_FILE).is_file():
        path = path / read_properties(path / COLLECTION_FILE).get("hats_primary_table_url", "")
    for _ in range(_TRIES):
        stamp = stamp_of(path)
        try:
            opened = _open(path, stamp)
        except CatalogError:
            if stamp_of(path) == stamp:
                raise
        else:
            if stamp_of(path) == stamp:
                return opened
    raise CatalogError(f"{path} is replaced faster than it can be opened; open it when that is over")


def _open(path: Path, stamp: tuple[int, int]) -> Catalog:
    if not (path / "hats.properties").is_file():
        hint = f"; there is one at {path / 'catalog'}" if (path / "catalog" / "hats.properties").is_file() else ""
        raise CatalogError(f"{path} is not the folder of a catalogue (it has no hats.properties){hint}")
    document = _read_provenance(path / "provenance.json")
    files = _partition_files(path)
    try:
        columns = pq.read_schema(path / "dataset" / "_common_metadata")
    except (OSError, pa.ArrowException) as error:
        raise CatalogError(f"{path}: the list of columns dataset/_common_metadata cannot be read: {error}") from error
    classes, bands = classes_of(columns), bands_of(columns)
    if not classes or not bands:
        raise CatalogError(
            f"{path}: the columns tell of no classes or no bands; was the catalogue written by another program?"
        )
    if words := other_column(schema(classes, bands), columns):
        raise CatalogError(f"{path} is not as a catalogue of galmorph has to be: {words}")
    settings = document.get("settings", {})
    return Catalog(path, files, columns, document["provenance"], **settings, stamp=stamp)


def _read_provenance(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        version, settings = document["format"], document.get("settings", {})
        known = isinstance(document["provenance"], dict) and settings.keys() <= {"match_radius", "max_rows"}
    except FileNotFoundError as error:
        raise CatalogError(
            f"{path.parent} has no {path.name}: it is a HATS catalogue, but not one of galmorph"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CatalogError(f"{path} is damaged: {error}") from error
    if version > _FORMAT:
        raise CatalogError(
            f"{path.parent} has layout {version}, newer than this galmorph reads ({_FORMAT}); update galmorph"
        )
    if not known:
        raise CatalogError(f"{path} is damaged: its provenance or settings are not what galmorph writes")
    found: Mapping[str, Any] = document
    return found


def _partition_files(path: Path) -> tuple[Path, ...]:
    """Files of all partitions, each seen to be there and to end as Parquet does."""
    try:
        with (path / "partition_info.csv").open(encoding="utf-8", newline="") as stream:
            pixels = [(int(row["Norder"]), int(row["Npix"])) for row in csv.DictReader(stream)]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise CatalogError(f"{path}: the list of partitions partition_info.csv cannot be read: {error}") from error
    files = tuple(path / Partition(order, pixel, 0, 0).relative_path for order, pixel in pixels)
    for file in files:
        try:
            with file.open("rb") as stream:
                stream.seek(-len(_MAGIC), 2)
                complete = stream.read() == _MAGIC
        except FileNotFoundError as error:
            raise CatalogError(
                f"{path}: partition {file.relative_to(path)} is missing; write or copy the catalogue again"
            ) from error
        except OSError:
            complete = False
        if not complete:
            raise CatalogError(
                f"{path}: partition {file.relative_to(path)} is incomplete; write or copy the catalogue again"
            )
    return files
