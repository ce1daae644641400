"""From what a user names (files, folders, globs) to tiles, or to reasons why there is none."""

import glob
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from galmorph.fits_planes import may_hold_planes
from galmorph.surveys.folders import Folders
from galmorph.surveys.layout import COMPRESSIONS, Layout, fields_of, fill, plain_name
from galmorph.surveys.profile import Survey
from galmorph.surveys.stripes import Stripe, in_stripes

log = logging.getLogger(__name__)

#: Folder, layout and fields of files that belong to one tile.
_Key = tuple[Path, str, tuple[tuple[str, str], ...]]

FITS_ENDINGS = (".fits", ".fit", ".fts")
#: Longest name of a tile; parts, rejects and tables are named by it.
MAX_NAME = 120

#: Files by which folders are known that hold results; the FITS files in these are maps and plots, not tiles.
MADE = frozenset({"run.json", "hats.properties"})


@dataclass(frozen=True)
class TileSource:
    """Files of one tile.

    Parameters
    ----------
    name : str
        Unique in a run and safe as a file name.
    files : tuple of Path
        All files, each once, sorted.
    layout : Layout
        How to read them.
    images, weights, masks : mapping of str to Path
        File of each band. The weights or masks are empty when the layout declares none or none is there.
    stripe : Stripe or None
        The rows of a large tile that this piece of it is; None for a whole tile.
    """

    name: str
    files: tuple[Path, ...]
    layout: Layout
    images: Mapping[str, Path] = field(hash=False)
    weights: Mapping[str, Path] = field(hash=False)
    masks: Mapping[str, Path] = field(hash=False)
    stripe: Stripe | None = None

    def requests(self, bands: Iterable[str]) -> dict[Path, list[tuple[str, str, str | int | None]]]:
        """Role (``"image"``, ``"weight"`` or ``"mask"``), band and HDU of all that there is to read, by file."""
        layout = self.layout
        layers = (
            ("image", layout.image, self.images),
            ("weight", layout.weight, self.weights),
            ("mask", layout.mask, self.masks),
        )
        wanted: dict[Path, list[tuple[str, str, str | int | None]]] = {}
        for role, layer, files in layers:
            for band in bands:
                if layer is None or not files:
                    continue
                hdu = layer.hdu.replace("{band}", layout.in_files(band)) if isinstance(layer.hdu, str) else layer.hdu
                wanted.setdefault(files[band], []).append((role, band, hdu))
        return wanted


@dataclass(frozen=True)
class Rejected:
    """Something that was given as a tile and is none.

    Parameters
    ----------
    name : str
        Of the tile, or of the file as it was given.
    path : Path
        The file, or the folder of a tile that lacks files.
    reason : str
        Why, in words.
    """

    name: str
    path: Path
    reason: str


def find_tiles(inputs: Sequence[str | Path], survey: Survey) -> tuple[list[TileSource], list[Rejected]]:
    """Tiles in files, folders and globs.

    A folder is searched with all its subfolders, but for hidden ones, what runs and catalogues are written into
    (`MADE`), hidden files and symbolic links to folders;
    what in it fits no layout is ignored, and so are tables and the like where a layout takes files of any name
    (`may_be_tile`). A file that is named itself, or by a glob, has to fit one. A glob knows
    ``*``, ``?``, ``[…]`` and ``**``. A file brings its tile's other files with it: those in its folder, and in the
    folders that its layout names.

    Parameters
    ----------
    inputs : sequence of str or Path
        Files, folders and globs, in any order.
    survey : Survey
        Profile whose layouts the files have to fit.

    Returns
    -------
    tiles : list of TileSource
        Sorted by name; each name is there once. Large tiles are there in stripes, see `galmorph.surveys.stripes`.
    rejected : list of Rejected
        What is no tile and why, sorted by name; each name is there once, and no tile has it: those whose own name
        would not tell them apart are called by their paths.
    """
    tiles: dict[tuple[str, str, tuple[Path, ...]], TileSource] = {}
    rejected: dict[tuple[str, Path], Rejected] = {}
    seen: set[Path] = set()
    incomplete: set[Path] = set()
    folders, known = Folders(), dict[_Key, TileSource]()
    for given in sorted({os.fspath(entry) for entry in inputs}):
        paths, refusals = _expand(given, survey, folders)
        for path in paths:
            if path in seen:
                continue
            seen.add(path)
            layout, fields = _fit(path, survey)
            key = (path.parent, layout.name, tuple(fields.items()))
            if key in known and path in known[key].files:
                continue
            try:
                found = _tile_of(path, survey, layout, fields, folders)
            except OSError as error:
                found = _unread(path, error)
            if isinstance(found, TileSource):
                known[key] = found
                plain = tuple(file.with_name(plain_name(file.name)) for file in found.files)
                tiles.setdefault((found.layout.name, found.name, plain), found)
            else:
                incomplete.add(path)
                refusals.append(found)
        for refusal in refusals:
            rejected.setdefault((refusal.name, refusal.path), refusal)
    unclaimed = _unclaimed(seen - incomplete, tiles.values())
    log.info("found %d tiles of survey %s, rejected %d inputs", len(tiles), survey.name, len(rejected) + len(unclaimed))
    pieces = [piece for tile in _named(list(tiles.values())) for piece in in_stripes(tile, survey.bands)]
    everything = _uniquely_named([*rejected.values(), *unclaimed], {piece.name for piece in pieces})
    return sorted(pieces, key=lambda piece: piece.name), sorted(everything, key=lambda entry: entry.name)


def _uniquely_named(rejected: Sequence[Rejected], tiles: Collection[str]) -> list[Rejected]:
    counts = Counter(entry.name for entry in rejected)
    result = []
    for entry in rejected:
        path = entry.path if entry.path.name == entry.name else entry.path / entry.name
        known = counts[entry.name] == 1 and entry.name not in tiles
        result.append(entry if known else replace(entry, name=str(path)))
    return result


def safe_name(name: str) -> str:
    """Name that is safe as a file name: letters, digits and ``._+-,``, not hidden, not too long.

    A name that has to be altered for it ends in a hash of what it was, so that two different names stay different.

    Parameters
    ----------
    name : str
        Any text.

    Returns
    -------
    str
    """
    slug = re.sub(r"[^A-Za-z0-9._+,-]+", "_", name).lstrip(".-")[:MAX_NAME]
    return slug if slug and slug == name else f"{slug or 'tile'}-{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _expand(given: str, survey: Survey, folders: Folders) -> tuple[list[Path], list[Rejected]]:
    """Files that one input stands for, absolute and sorted; refusals of what stands for none."""
    # Of Path, expanduser() fails where there is no such user, of whom this leaves the name as it is.
    given = os.fspath(Path(os.path.expanduser(given)))  # noqa: PTH111
    path = Path(os.path.abspath(given))  # noqa: PTH100 - resolve() would follow links to other folders
    try:
        if path.is_dir():
            return _in_folder(path, survey, folders)
        if path.is_file():
            return _explicit([path], survey)
    except OSError as error:  # a folder on the way that this user may not enter, or a disk
        return [], [_unread(path, error)]
    if not glob.has_magic(given):
        return [], [Rejected(path.name, path, f"{given} does not exist")]
    matches = sorted(Path(os.path.abspath(match)) for match in glob.glob(given, recursive=True))  # noqa: PTH100, PTH207
    if not matches:
        return [], [Rejected(path.name, path, f"nothing fits the pattern {given}")]
    files, refusals = _explicit([match for match in matches if not match.is_dir()], survey)
    for folder in matches:
        if folder.is_dir():
            more, others = _in_folder(folder, survey, folders)
            files += more
            refusals += others
    return files, refusals


def _explicit(paths: list[Path], survey: Survey) -> tuple[list[Path], list[Rejected]]:
    fitting = [path for path in paths if _layout_of(path, survey)]
    refusals = [
        Rejected(path.name, path, f"not a file of survey {survey.name}, which are called {_patterns(survey)}")
        for path in paths
        if path not in fitting
    ]
    return fitting, refusals


def _unread(path: Path, error: OSError) -> Rejected:
    reason = f"{error.filename or path} cannot be read: {error.strerror}; make it readable, or leave it out"
    return Rejected(path.name, path, reason)


def _in_folder(folder: Path, survey: Survey, folders: Folders) -> tuple[list[Path], list[Rejected]]:
    unread: list[Rejected] = []
    files = [path for path in _walk(folder, unread, folders) if plain_name(path.name).lower().endswith(FITS_ENDINGS)]
    named = [path for path in files if _layout_of(path, survey)]
    fitting = [path for path in named if may_be_tile(path, survey)]
    if len(named) < len(files):
        log.info("%s: %d FITS files are not of survey %s", folder, len(files) - len(named), survey.name)
    if 0 < len(fitting) < len(named):
        passed = next(path for path in named if path not in set(fitting))
        number = len(named) - len(fitting)
        log.warning("%s: FITS files passed over whose headers tell of no tile: %d, such as %s", folder, number, passed)
    if fitting or unread:
        return fitting, unread
    reason = f"the folder holds no file of survey {survey.name}, which are called {_patterns(survey)}"
    if named:
        reason += (
            f"; those called so hold no image with a plane for each band, such as {named[0].name}: give it by its name "
            "to be told more"
        )
    return [], [Rejected(folder.name, folder, reason)]


def may_be_tile(path: Path, survey: Survey) -> bool:
    """Whether a file in a folder fits a layout: by its name or, where the layout takes any, by its headers too.

    A survey all of whose layouts take any name, as the generic one, is given no files but those that are meant.

    Parameters
    ----------
    path : Path
        The file.
    survey : Survey
        Profile with the layouts.

    Returns
    -------
    bool
    """
    layout = _layout_of(path, survey)
    if layout is None:
        return False
    if not _takes_any_name(layout) or all(map(_takes_any_name, survey.layouts)):
        return True
    image = layout.image
    return may_hold_planes(path, None if image.planes else image.planes_keyword)


def _takes_any_name(layout: Layout) -> bool:
    pattern = layout.image.file
    return fill(pattern, dict.fromkeys(fields_of(pattern), "")) in FITS_ENDINGS


def _walk(folder: Path, unread: list[Rejected], known: Folders) -> Iterator[Path]:
    """Files in a folder and its subfolders; what they hold is taken down, and which cannot be read."""

    def note(error: OSError) -> None:
        unread.append(_unread(Path(error.filename), error))

    for where, folders, names in os.walk(folder, onerror=note):
        known.add(Path(where), [*folders, *names])
        if Path(where) != folder and not MADE.isdisjoint(names):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(names) if not name.startswith("."))


def _patterns(survey: Survey) -> str:
    names = dict.fromkeys(pattern for layout in survey.layouts for pattern in layout.patterns)
    bands = f", with {{band}} one of {', '.join(survey.bands)}" if any("{band}" in name for name in names) else ""
    return " or ".join(names) + bands + f" (or compressed: {', '.join(COMPRESSIONS[:-1])})"


def _layout_of(path: Path, survey: Survey) -> Layout | None:
    return next((layout for layout in survey.layouts if layout.match(path.name, survey.bands) is not None), None)


def _fit(path: Path, survey: Survey) -> tuple[Layout, dict[str, str]]:
    """Layout that a file fits, and the fields of its name."""
    for layout in survey.layouts:
        fields = layout.match(path.name, survey.bands)
        if fields is not None:
            return layout, fields
    raise AssertionError(f"{path} was not matched before")


def _tile_of(
    path: Path, survey: Survey, layout: Layout, fields: Mapping[str, str], folders: Folders
) -> TileSource | Rejected:
    """Tile that a file belongs to, with all its files."""
    name = fill(layout.tile, fields)
    found: dict[str, dict[str, Path]] = {"image": {}, "weight": {}, "mask": {}}
    for role, layer in (("image", layout.image), ("weight", layout.weight), ("mask", layout.mask)):
        if layer is None:
            continue
        found[role], missing, several = _files(path, layout, layer.file, survey.bands, fields, folders)
        if several:
            return Rejected(name, path.parent, f"several files fit one {role}; leave one of each: {several}")
        if missing and role == "image":
            return Rejected(name, path.parent, f"no image of band {_listed(missing)} in {path.parent}")
        if missing and found[role]:
            return Rejected(
                name, path.parent, f"only some bands have a {role}; missing in {path.parent}: {_listed(missing)}"
            )
    files = tuple(sorted({path for role in found.values() for path in role.values()}))
    return TileSource(name, files, layout, found["image"], found["weight"], found["mask"])


def _files(
    given: Path,
    layout: Layout,
    pattern: str,
    bands: tuple[str, ...],
    fields: Mapping[str, str],
    folders: Folders,
) -> tuple[dict[str, Path], dict[str, str], str]:
    """File of each band, the names of those that are not there, and bands with several files, in words."""
    found, missing, several = {}, {}, []
    for band in bands:
        known = {**fields, "band": layout.in_files(band)}
        name = fill(pattern, known)
        own = plain_name(given.name) == name
        paths = [given] if own else _candidates(given.parent, layout.folders, known, name, folders)
        if not paths:
            missing[band] = name
            continue
        found[band] = paths[0]
        if len(paths) > 1:
            several.append(f"{band}: {', '.join(map(str, paths))}")
    return found, missing, "; ".join(several)


def _candidates(
    folder: Path, others: tuple[str, ...], fields: Mapping[str, str], name: str, folders: Folders
) -> list[Path]:
    """Files of a name in a folder or, if there are none, in the others that a layout names."""
    paths = folders.files(folder, name)
    if paths:
        return paths
    escaped = {key: glob.escape(value) for key, value in fields.items()}
    patterns = [os.path.join(glob.escape(str(folder)), fill(other, escaped)) for other in others]  # noqa: PTH118
    matches = {match for pattern in patterns for match in folders.glob(pattern)}
    return [path for match in sorted(matches - {folder}) for path in folders.files(match, name)]


def _listed(missing: Mapping[str, str]) -> str:
    return ", ".join(f"{band} ({name})" for band, name in missing.items())


def _unclaimed(paths: set[Path], tiles: Iterable[TileSource]) -> list[Rejected]:
    """Files that fit a layout but are second to one of the same name in another compression."""
    claimed = {path for tile in tiles for path in tile.files}
    return [
        Rejected(path.name, path, "the same file is there in another compression, which is used")
        for path in sorted(paths - claimed)
    ]


def _named(tiles: list[TileSource]) -> list[TileSource]:
    """Tiles with names that are safe and unique."""
    named = [replace(tile, name=safe_name(tile.name)) for tile in tiles]
    counts = Counter(tile.name.lower() for tile in named)
    return [_told_apart(tile) if counts[tile.name.lower()] > 1 else tile for tile in named]


def _told_apart(tile: TileSource) -> TileSource:
    return replace(tile, name=f"{tile.name}-{_digest('|'.join(map(str, tile.files)))}")
