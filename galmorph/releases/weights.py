"""Weights to go on training from, as one file that travels with a version of the registry.

A bundle is ONNX, which nobody trains on. The checkpoint that it was exported from is kept beside it in the registry,
without the state of its optimiser, so that inference never has to fetch it.
"""

from collections.abc import Collection
from pathlib import Path

from galmorph.errors import MissingExtraError

#: Parts of a network that can be left at random, see `galmorph.training.networks.Classifier`.
PARTS = ("encoder", "neck", "head", "open_head")


def travelling_weights(training: Path, out: Path, without: Collection[str] = ()) -> Path:
    """Write what a later training needs of a checkpoint: weights, and the record of its training.

    Parameters
    ----------
    training : Path
        Checkpoint, or folder of a training: its best epoch, or that of the model that its guard chose.
    out : Path
        File to write.
    without : collection of str
        Parts of the network (`PARTS`) to leave out: a training that starts from the file has them at random.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    ConfigError, DataError
        If there is no such checkpoint.
    """
    try:
        from galmorph.training.checkpoint import read_checkpoint, write_checkpoint
        from galmorph.training.transfer import start_file
    except ImportError as error:
        raise MissingExtraError("Training", str(error.name), "training") from error
    state = read_checkpoint(start_file(training))
    left_out = tuple(f"network.{part}." for part in without)
    weights = {name: weight for name, weight in state["state_dict"].items() if not name.startswith(left_out)}
    write_checkpoint(out, {"state_dict": weights, "record": state["record"], "epoch": state["epoch"]})
    return out
