"""What the recipe from SDSS to DECaLS and KiDS comes to, as far as it can be told without labels of the target.

    python training/benchmarks/real.py TRAINING TARGET RINGS

TRAINING is the folder of ``training/sdss_to_decals.toml`` once it is trained, TARGET the set of cutouts that it adapted
to, RINGS a folder with ``labels.csv`` (file, disk-edge-on_no_fraction): galaxies in which volunteers saw a disc or
features, hardly one of them edge-on. Writes ``docs/benchmarks/sdss-to-decals.md``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from galmorph.cutout_set import CutoutSet, read_cutout_set
from galmorph.training.fit import load_training
from galmorph.training.guarded import predict
from galmorph.training.shipped import GUARD, PLAIN

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks" / "sdss-to-decals.md"

HEAD = """# From SDSS to DECaLS and KiDS, on real pictures

The commands under *From SDSS to DECaLS and KiDS* in [training](../../training/README.md), and then

```
python training/benchmarks/real.py runs/sdss_to_decals runs/data/decals-kids RINGS
```

Labels of the target are not there. What can be told: in the galaxies counted as *rings* volunteers saw a disc or
features, and hardly one edge-on, so that *edge_on* is wrong there by their votes; no choice was made by these.
"""


def shares(training: Path, cutouts: CutoutSet, chosen: NDArray[np.bool_]) -> list[float]:
    """Share of some images that a training's best network, as it is served, gives each class."""
    module, record = load_training(training)
    logits, _ = predict(module, cutouts.images, np.flatnonzero(chosen), "target")
    counts = np.bincount(logits.argmax(axis=1), minlength=len(record["counts"]))
    return [float(share) for share in counts / counts.sum()]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("training", "target", "rings"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    cutouts = read_cutout_set(given.target)
    voted = pd.read_csv(given.rings / "labels.csv")
    seen = voted["disk-edge-on_no_fraction"]
    rings = cutouts.labels["object_id"].astype(str).isin([Path(name).stem for name in voted["file"]]).to_numpy()
    _, record = load_training(given.training)
    guard = json.loads((given.training / GUARD).read_text())
    lines = [HEAD, f"Votes against edge-on of the {rings.sum()} rings: {seen.median():.2f} in the median, "
             f"{(seen < 0.5).sum()} of them below a half.", ""]  # fmt: skip
    average = record["recipe"]["fit"].get("average", 0.0)
    strangers = record["recipe"]["method"].get("weights", {}).get("strangers", 0.0)
    lines += [f"Trained with `fit.average = {average}`, and with a weight of {strangers} for strangers."]
    lines += [f"Images are looked at in {record['recipe']['export'].get('orientations', 1)} orientations.", ""]
    lines += [f"The guard ships: **{guard['shipped']}**. Signs of harm: {'; '.join(guard['reasons']) or 'none'}.", ""]
    classes = " | ".join(record["recipe"]["source"]["classes"])
    lines += [
        f"| model | source's validation part, in training | images | {classes} |",
        "|---|---|---|---|---|---|",
    ]
    for name, folder in (("source only", given.training / PLAIN), ("adapted", given.training)):
        accuracy = json.loads((folder / "result.json").read_text())["metrics"]["valid_accuracy"]
        for what, chosen in (("rings", rings), ("all others", ~rings)):
            cells = " | ".join(f"{share:.3f}" for share in shares(folder, cutouts, chosen))
            lines.append(f"| {name} | {accuracy:.3f} | {what} | {cells} |")
    PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
