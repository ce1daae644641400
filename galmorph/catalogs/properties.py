"""Properties files of HATS: a key, an equals sign and a value in each line."""

from pathlib import Path

from galmorph.errors import CatalogError

#: Files that describe a catalogue, by their names in newer and older HATS.
CATALOG_FILES = ("hats.properties", "properties")
#: File that makes a folder a collection.
COLLECTION_FILE = "collection.properties"
#: Key in it: names of all catalogues of a collection of galmorph.
MEMBERS = "galmorph_members"


def read_properties(path: Path) -> dict[str, str]:
    """Keys and values of a properties file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to str
        What it says.

    Raises
    ------
    CatalogError
        If it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path} cannot be read: {error}") from error
    lines = (line.partition("=") for line in text.splitlines() if line[:1] not in "#!")
    return {key.strip(): value.strip().replace("\\:", ":") for key, sign, value in lines if sign}


def stamp_of(path: Path) -> tuple[int, int]:
    """What tells a catalogue from one that takes its place.

    Parameters
    ----------
    path : Path
        Folder of the catalogue.

    Returns
    -------
    tuple of int
        Inode and time of the file that describes it; zeros while there is none.
    """
    for name in CATALOG_FILES:
        try:
            status = (path / name).stat()
        except OSError:
            continue
        return status.st_ino, status.st_mtime_ns
    return 0, 0
