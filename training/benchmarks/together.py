"""What the networks of all seeds give when they answer together, on kept predictions.

    python training/benchmarks/together.py KEPT

takes what ``adaptation.py run … --keep KEPT`` left of the table's experiments and the longer ones, and writes
``together.jsonl`` beside the results: a line for each method that has three seeds or more there, with the measures of
the mean of the logits and of all features side by side, as `galmorph.training.ensemble.Ensemble` gives them.
Temperature, threshold and reference are fitted to these as to those of one network. Lines of others stay.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from adaptation import Predictions, measure, renew_lines
from experiments import LONGER, TABLE
from tqdm import tqdm

#: Results of this script, and the fewest networks that are joined.
NAME, LEAST = "together", 3


def join(members: Sequence[Predictions]) -> Predictions:
    """Predictions of several networks as those of one.

    Parameters
    ----------
    members : sequence of dict of ndarray
        As `adaptation.train_and_look` gives them, of the same images.

    Returns
    -------
    dict of ndarray

    Raises
    ------
    ValueError
        If they are not of the same images.
    """
    joined: Predictions = {}
    for key, first in members[0].items():
        values = [member[key] for member in members]
        if key.endswith("_logits"):
            joined[key] = np.mean(values, axis=0)
        elif key.endswith("_features"):
            joined[key] = np.hstack(values)
        elif key.endswith("_names"):
            if not all(np.array_equal(first, other) for other in values):
                raise ValueError(f"{key} differ: the networks looked at different images")
            joined[key] = first
    facts = [json.loads(str(member["facts"])) for member in members]
    seeds = [fact["seed"] for fact in facts]
    joined["facts"] = np.array(json.dumps({"method": facts[0]["method"], "seed": 0, "seeds": seeds}))
    return joined


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kept", type=Path)
    kept = parser.parse_args().kept
    files: dict[tuple[str, str], list[Path]] = {}
    experiments = {**TABLE, **LONGER}
    for name in experiments:
        for path in sorted(kept.glob(f"{name}-*.npz")):
            if method := re.fullmatch(rf"{name}-([a-z_]+(?:\+[a-z-]+)?)-\d+", path.stem):
                files.setdefault((name, method[1].replace("+", "/")), []).append(path)
    lines = []
    for (name, _), paths in tqdm(files.items(), unit="method"):
        if len(paths) >= LEAST:
            joined = join([dict(np.load(path)) for path in paths])
            lines.append({"experiment": name, **measure(experiments[name], joined)})
    renew_lines(NAME, lines)


if __name__ == "__main__":
    main()
