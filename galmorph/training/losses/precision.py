"""Losses are computed, and views drawn, in full precision whatever the network runs in."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def _widen(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Have a loss see float32 where it is given half precision, and compute outside automatic mixed precision.

    Parameters
    ----------
    loss : callable
        Tensors in, a tensor out.

    Returns
    -------
    callable
        The same. Float64 stays float64.
    """

    @functools.wraps(loss)
    def wrapped(*arguments: P.args, **options: P.kwargs) -> R:
        wide: Any = [_widen(value) for value in arguments]
        named: Any = {name: _widen(value) for name, value in options.items()}
        devices = {value.device.type for value in (*wide, *named.values()) if isinstance(value, Tensor)}
        with torch.autocast(device_type=devices.pop() if devices else "cpu", enabled=False):
            return loss(*wide, **named)

    return wrapped
