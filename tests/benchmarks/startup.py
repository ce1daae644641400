"""How long ``galmorph --help`` and ``import galmorph`` take, beside the half second that they may."""

import argparse
import json
import subprocess
import sys
import time

#: Seconds.
BOUND = 0.5
REPEATS = 7

COMMANDS = {
    "galmorph --help": [sys.executable, "-m", "galmorph.cli", "--help"],
    "import galmorph": [sys.executable, "-c", "import galmorph"],
}


def fastest(command: list[str]) -> float:
    """Least wall time of several runs: what other load adds is not the command's."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Measure, print, and with ``--check`` fail above the bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a ratio is above its target")
    arguments = parser.parse_args()
    results = []
    for name, command in COMMANDS.items():
        seconds = fastest(command)
        print(f"{name}: {seconds:.3f} s")
        results.append({"name": name, "seconds": round(seconds, 4), "ratio": round(seconds / BOUND, 3), "target": 1.0})
    print(json.dumps({"benchmark": "startup", "bound_seconds": BOUND, "results": results}))
    sys.exit(arguments.check and any(result["ratio"] > result["target"] for result in results))


if __name__ == "__main__":
    main()
