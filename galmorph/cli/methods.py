"""``galmorph methods``."""

from collections.abc import Mapping

from rich.console import Console

from galmorph.errors import MissingExtraError

#: What recipes may do with methods.
NOTES = (
    'In a recipe: method.name = "NAME"; method.weights changes the weights of its losses, or adds others.',
    "Any method takes method.weights.strangers = 0.5: made-up images of two objects are kept unknown.",
    "Any that needs a target takes the losses of the others, but ovanet's, and",
    "method.weights.balance = 0.3: no class vanishes; for targets of the same mix.",
)


def methods() -> None:
    """List the methods that a training can use: what each does, where it comes from, and the weights of its losses."""
    try:
        from galmorph.training.methods import METHODS
    except ImportError as error:
        raise MissingExtraError("Training", str(error.name), "training") from error
    console = Console(highlight=False)
    width = max(map(len, METHODS)) + 2
    for name, method in METHODS.items():
        _line(console, f"{name:{width}}{method.summary}. {method.reference}")
        _line(console, f"{'':{width}}{_list(method.losses)}" + ("; needs a target" if method.adapts else ""))
    console.print()
    for note in NOTES:
        _line(console, note)


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _list(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{loss} {weight:g}" for loss, weight in losses.items())
