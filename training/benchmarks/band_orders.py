"""How often a target's bands are rightly said to be in another order than the source's.

    python training/benchmarks/band_orders.py DATA [SET …]

looks at every pair of sets of cutouts of several bands below DATA (see ``mocks.py``, ``simulated.py`` and ``sdss.py``)
and of those that are named besides, where both have bands of the same names: once as they are, when nothing should be
told, and once for every other order that the second can be put into, when that order should be. No label is looked at.
What is told wrongly is named.
"""

import argparse
import itertools
from collections import Counter
from pathlib import Path

import numpy as np

from galmorph.band_order import likely_order
from galmorph.cutout_set import DESCRIPTION, read_cutout_set
from galmorph.training.band_order import band_shares


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("sets", type=Path, nargs="*")
    given = parser.parse_args()
    places = [path.parent for path in sorted(given.data.rglob(DESCRIPTION)) if "hostile" not in path.parts]
    sets = {}
    for place in [*places, *given.sets]:
        cutouts = read_cutout_set(place)
        if len(bands := cutouts.meta["bands"]) > 1:
            sets[place] = bands, band_shares(cutouts.images, np.arange(len(cutouts.images)))
    pairs, counts = 0, Counter[str]()
    for (here, (bands, source)), (there, (others, target)) in itertools.permutations(sets.items(), 2):
        if bands != others:
            continue
        pairs += 1
        for order in itertools.permutations(range(len(bands))):
            told = likely_order(source, target[:, order])
            expected = np.argsort(order).tolist()
            as_is = expected == sorted(expected)
            if told is not None and told != expected:
                print(f"{here} and {there} in the order {list(order)}: told {told}")
            kind = "nothing" if told is None else "that order" if told == expected else "another order"
            counts[f"{'as they are' if as_is else 'exchanged'}: {kind}"] += 1
    print(f"{len(sets)} sets, {pairs} pairs; " + ", ".join(f"{key} {counts[key]}" for key in sorted(counts)))


if __name__ == "__main__":
    main()
