"""How long ``galmorph --help`` and ``import galmorph`` take, beside the half second that they may."""

import subprocess
import sys
import time

from common.outcome import entry, finish, parser

#: Seconds.
BOUND = 0.5
REPEATS = 7

COMMANDS = {
    "galmorph --help": [sys.executable, "-m", "galmorph", "--help"],
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
    check = parser(__doc__).parse_args().check
    results = []
    for name, command in COMMANDS.items():
        seconds = fastest(command)
        results.append(entry(name, seconds / BOUND, 1.0, "most", seconds=round(seconds, 4)))
    finish("startup", results, check=check, bound_seconds=BOUND)


if __name__ == "__main__":
    main()
