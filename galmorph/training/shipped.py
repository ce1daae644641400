"""Which of the weights in a training's folder go on: those of its best epoch, of the model that its guard chose."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from galmorph.errors import ConfigError
from galmorph.training.checkpoint import SUFFIX
from galmorph.training.folder import BEST, CHECKPOINTS, SEEDS, member_folders
from galmorph.training.guard import Verdict

#: In the folder of a training: the verdict, and the folder of the training on the source alone.
GUARD, PLAIN = "guard.json", "source_only"


def checkpoint_file(checkpoint: Path) -> Path:
    """A checkpoint, or of the folder of a training its best; a ConfigError for that of several seeds."""
    checkpoint = _of_one(checkpoint)
    return checkpoint / CHECKPOINTS / f"{BEST}{SUFFIX}" if checkpoint.is_dir() else checkpoint


def _of_one(checkpoint: Path) -> Path:
    checkpoint = Path(checkpoint)
    if (checkpoint / SEEDS).is_file():
        one = member_folders(checkpoint)[0]
        raise ConfigError(f"{checkpoint} holds trainings of several seeds; give the folder of one, such as {one}")
    return checkpoint


def read_verdict(checkpoint: Path) -> Verdict | None:
    """The verdict that a checkpoint goes on with, or None if its training was not guarded, or this epoch not judged.

    Parameters
    ----------
    checkpoint : Path
        ``OUT/checkpoints/….safetensors`` or ``OUT/source_only/checkpoints/….safetensors``, the folder of either, or of
        several seeds. Of an adapted model only the best epoch was judged.

    Returns
    -------
    Verdict or None
        Of the training in OUT.
    """
    folder = _folder(checkpoint)
    plain = folder.name == PLAIN
    path = (folder.parent if plain else folder) / GUARD
    judged = path.is_file() and (plain or is_best(Path(checkpoint)))
    return Verdict.from_dict(json.loads(path.read_text())) if judged else None


def is_best(checkpoint: Path) -> bool:
    """Whether a path stands for the best epoch, as folders do; no other is judged by a guard."""
    return checkpoint.is_dir() or checkpoint.name == f"{BEST}{SUFFIX}"


def _folder(checkpoint: Path) -> Path:
    """The folder of a checkpoint's training."""
    checkpoint = Path(checkpoint).resolve()
    return checkpoint if checkpoint.is_dir() else checkpoint.parent.parent


@dataclass(frozen=True)
class Shipped:
    """What a path stands for.

    Parameters
    ----------
    checkpoints : tuple of Path
        Files; of several seeds one of each.
    model : {"adapted", "source_only"}
        Which of the two of a guarded training.
    verdict : Verdict or None
        Of the guard.
    """

    checkpoints: tuple[Path, ...]
    model: Literal["adapted", "source_only"]
    verdict: Verdict | None


def shipped(checkpoint: Path) -> Shipped:
    """What a path stands for.

    Parameters
    ----------
    checkpoint : Path
        A file stands for itself; the folder of a training for the best epoch of the model that its guard chose, and
        that of several seeds for all of these together, by the guard of them all.

    Returns
    -------
    Shipped
    """
    folders = [shipped_checkpoint(folder, checkpoint) for folder in member_folders(Path(checkpoint))]
    model: Literal["adapted", "source_only"] = "source_only" if _folder(folders[0]).name == PLAIN else "adapted"
    return Shipped(tuple(map(checkpoint_file, folders)), model, read_verdict(checkpoint))


def shipped_checkpoint(checkpoint: Path, judged: Path | None = None) -> Path:
    """What a path of one training stands for: a file for itself, a folder for the model that the guard chose.

    Parameters
    ----------
    checkpoint : Path
        A file or a folder.
    judged : Path, optional
        Folder of the guard's verdict, by default `checkpoint`.

    Returns
    -------
    Path
        A file, or the folder of a training that is taken at its best epoch.

    Raises
    ------
    ConfigError
        If the folder holds several seeds.
    """
    checkpoint = _of_one(checkpoint)
    marker = Path(judged or checkpoint) / GUARD
    if marker.is_file() and Verdict.from_dict(json.loads(marker.read_text())).shipped == "source_only":
        return checkpoint / PLAIN
    return checkpoint
