"""How a benchmark is asked, and how it says what came of it."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

#: A ratio and what is asked of it.
Result = dict[str, Any]


def parser(about: str | None) -> argparse.ArgumentParser:
    """Command line of a benchmark, with ``--check``."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    return made


def entry(
    name: str, ratio: float, target: float | None, kind: Literal["least", "most"] = "least", **facts: object
) -> Result:
    """A result, which is printed too; the ratio may be at most, or has to be at least, the target."""
    asked = "no target" if target is None else f"target {kind} {target:g}"
    told = "".join(f", {key} {value}" for key, value in facts.items())
    print(f"{name}: {ratio:.3f} ({asked}){told}", flush=True)
    return {"name": name, "ratio": round(ratio, 3), "target": target, "kind": kind, **facts}


def met(result: Result) -> bool:
    """If a result meets its target, or has none."""
    if result["target"] is None:
        return True
    ratio, target = result["ratio"], result["target"]
    return bool(ratio <= target if result["kind"] == "most" else ratio >= target)


def finish(benchmark: str, results: Sequence[Result], *, check: bool, **facts: object) -> NoReturn:
    """Print all results as the last line, JSON, and end: with 1 if a target is missed and that was asked for."""
    print(json.dumps({"benchmark": benchmark, **facts, "results": results}))
    sys.exit(check and not all(met(result) for result in results))
