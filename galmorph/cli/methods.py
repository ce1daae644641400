"""``galmorph methods``."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from galmorph.errors import MissingExtraError


def methods() -> None:
    """List the methods that a training can use: what each does, and where it comes from."""
    try:
        from galmorph.training.methods import METHODS
    except ImportError as error:
        raise MissingExtraError("Training", str(error.name), "training") from error
    table = Table("name", "target", "what it does", "losses", "source", box=None, pad_edge=False)
    for name, method in METHODS.items():
        losses = _list(method.losses)
        if method.of_two:
            losses += f"; of two classes {_list(method.of_two)} too"
        table.add_row(name, "needed" if method.adapts else "", method.summary, losses, method.reference)
    console = Console()
    console.print(table)
    console.print('\nIn a recipe: method.name = "NAME"; method.weights changes the weights of its losses.')
    console.print("Any method takes method.weights.strangers = 0.5: made-up images of two objects are kept unknown.")
    console.print("Any that adapts takes method.weights.balance = 0.3: no class vanishes; for targets of the same mix.")
    console.print("It takes method.weights.neighbourhood = 0.1 too: alike images of the target lie close together.")


def _list(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{loss} {weight:g}" for loss, weight in losses.items())
