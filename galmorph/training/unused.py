"""Settings of a recipe that its other settings leave without effect."""

import logging
from collections.abc import Iterable

from galmorph.training.method_options import MethodOptions
from galmorph.training.methods import find_method
from galmorph.training.options import NetworkOptions, OptimiserOptions, StretchOptions
from galmorph.training.recipe import Recipe

logger = logging.getLogger(__name__)

#: Settings of ``[method]`` that belong to losses, with the losses.
OF_LOSSES = {
    "clustering": ("clustering",),
    "separation": ("separation",),
    "fisher": ("fisher",),
    "discriminator": ("adversary", "conditional_adversary"),
    "least_share": ("balance",),
    "confusion_temperature": ("confusion",),
    "neighbour_temperature": ("neighbourhood",),
}


def tell_unused(recipe: Recipe) -> None:
    """Warn of settings that are not used; see `unused_settings`."""
    method = recipe.method.name
    if recipe.target is not None and not find_method(method).adapts:
        logger.warning(
            "the recipe has a table [target], and method.name = %r does not adapt: the target is not looked at. Name a "
            "method that adapts (galmorph methods), or leave [target] out",
            method,
        )
    if unused := unused_settings(recipe):
        logger.warning(
            "the recipe sets what has no effect beside its other settings: %s. Leave that out, or correct the others",
            ", ".join(unused),
        )


def unused_settings(recipe: Recipe) -> list[str]:
    """Settings that differ from their defaults, and change nothing.

    Parameters
    ----------
    recipe : Recipe
        All settings.

    Returns
    -------
    list of str
        As they are called in the recipe, such as ``optimiser.step_epochs``.
    """
    return [*_of_stretch(recipe.stretch), *_of_optimiser(recipe.optimiser), *_of_method(recipe)]


def _of_stretch(options: StretchOptions) -> list[str]:
    names = [] if options.kind == "linear" else ["low", "high"]
    names += [] if options.kind in ("asinh", "lupton") else ["softening"]
    return _changed("stretch", options, StretchOptions(), names)


def _of_optimiser(options: OptimiserOptions) -> list[str]:
    names = [] if options.schedule == "step" else ["step_epochs", "step_factor"]
    names += [] if options.schedule == "triangle" else ["cycle_epochs"]
    names += ["betas"] if options.name == "sgd" else []
    return _changed("optimiser", options, OptimiserOptions(), names)


def _of_method(recipe: Recipe) -> list[str]:
    options, method = recipe.method, find_method(recipe.method.name)
    weights = {**method.losses, **options.weights}
    names = [name for name, losses in OF_LOSSES.items() if not any(weights.get(loss) for loss in losses)]
    names += [] if method.adapts else ["warmup_epochs", "ramp_epochs", "target_mix"]
    unused = _changed("method", options, MethodOptions(), names)
    return (
        unused if method.adapts else [*unused, *_changed("network", recipe.network, NetworkOptions(), ["batch_norm"])]
    )


def _changed(table: str, options: object, defaults: object, names: Iterable[str]) -> list[str]:
    return [f"{table}.{name}" for name in names if getattr(options, name) != getattr(defaults, name)]
