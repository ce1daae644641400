"""The embedded model on mock tiles that it has never seen, from tiles through detection to the catalogue.

Makes held-out tiles (seeds from 1000 on are for evaluation), classifies them and compares the catalogue with the truth.
An object that was not detected counts as missed in the recalls.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd

import galmorph
from galmorph.demo import SURVEY, data_folder
from galmorph.inference.cluster import cores
from galmorph.mocks import make_mock
from galmorph.surveys import load_survey
from galmorph.truth import compare

#: Least mean recall over the known classes.
TARGET = 0.90


def main() -> None:
    """Measure, print, and with ``--check`` fail below the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiles", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--model", type=Path, default=data_folder() / "model")
    parser.add_argument("--check", action="store_true", help="exit with 1 below the target")
    arguments = parser.parse_args()
    bundle = galmorph.load_bundle(arguments.model)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_mock(folder / "mock", load_survey(SURVEY), arguments.tiles, arguments.seed, workers=cores())
        result = galmorph.classify(folder / "mock" / "tiles", SURVEY, bundle, folder / "run")
        rows = result.catalog.to_pandas()
        truth = pd.read_parquet(folder / "mock" / "truth.parquet")
    report = compare(rows[rows["primary"]].reset_index(drop=True), truth, bundle.manifest.classes)
    for name, value in asdict(report).items():
        print(f"{name}: {value}")
    measured = {"name": "mean recall over known classes", "value": round(report.mean_recall, 4), "target": TARGET}
    facts = {"benchmark": "demo_model", "tiles": arguments.tiles, "seed": arguments.seed, "results": [measured]}
    print(json.dumps(facts | {"report": asdict(report)}))
    sys.exit(arguments.check and report.mean_recall < TARGET)


if __name__ == "__main__":
    main()
