"""Checkpoints without pickles: tensors in safetensors, everything else as JSON in the same file's header.

A checkpoint is one ``.safetensors`` file, written to a temporary name and renamed, so that it is whole or not there.
"""

import json
import math
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from galmorph.errors import DataError
from galmorph.training.hold import write_whole

#: Key of the header under which the structure stands.
STRUCTURE = "galmorph_checkpoint"

SUFFIX = ".safetensors"


class SafeCheckpointIO(CheckpointIO):
    """Lightning's checkpoints as safetensors and JSON.

    Saving raises a TypeError for anything but tensors, numbers, text, None, lists, tuples and mappings of these.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; see `write_checkpoint`."""
        write_checkpoint(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint onto the CPU; Lightning moves it to where it belongs."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)


def write_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Write a nested structure of tensors and plain values.

    Parameters
    ----------
    path : Path
        File; replaced at once when complete.
    checkpoint : dict
        What to write.

    Raises
    ------
    TypeError
        If it holds an object that is neither a tensor nor plain.
    """
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_pack(checkpoint, tensors), allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(tensors, metadata={STRUCTURE: structure}))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    dict
        Equal to what was written, tensors on the CPU.

    Raises
    ------
    DataError
        If the file is missing or not such a checkpoint.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            structure = (file.metadata() or {}).get(STRUCTURE)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot read the checkpoint {path}: {error}. If a machine that stopped left it so, delete it: the same "
            "command trains again what it held"
        ) from error
    if structure is None:
        raise DataError(
            f"{path} holds tensors but no checkpoint of galmorph; give a file of checkpoints/ of a training"
        )
    checkpoint: dict[str, Any] = _unpack(json.loads(structure), tensors)
    return checkpoint


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Plain JSON with tagged objects for what JSON lacks; tensors go into `tensors`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Tensor):
        name = str(len(tensors))
        # A copy of its own, since safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, tuple):
        return {"tuple": [_pack(item, tensors) for item in value]}
    if isinstance(value, list):
        return [_pack(item, tensors) for item in value]
    if isinstance(value, dict):
        # As pairs: keys of an optimiser's state are whole numbers.
        return {"dict": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    raise TypeError(f"a checkpoint cannot hold {type(value).__qualname__} objects, which would have to be pickled")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Undo `_pack`."""
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "tensor":
        return tensors[content]
    if tag == "float":
        return float(content)
    if tag == "tuple":
        return tuple(_unpack(item, tensors) for item in content)
    return {_unpack(key, tensors): _unpack(item, tensors) for key, item in content}
