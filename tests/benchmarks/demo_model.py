"""The embedded model on mock tiles that it has never seen, from tiles through detection to the catalogue.

Makes held-out tiles (seeds from 1000 on are for evaluation), classifies them and compares the catalogue with the truth.
An object that was not detected counts as missed in the recalls.
"""

import tempfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from common.outcome import entry, finish, parser

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
    asked = parser(__doc__)
    asked.add_argument("--tiles", type=int, default=16)
    asked.add_argument("--seed", type=int, default=1000)
    asked.add_argument("--model", type=Path, default=data_folder() / "model")
    arguments = asked.parse_args()
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
    measured = entry("mean recall over known classes", report.mean_recall, TARGET)
    facts = {"tiles": arguments.tiles, "seed": arguments.seed, "report": asdict(report)}
    finish("demo_model", [measured], check=arguments.check, **facts)


if __name__ == "__main__":
    main()
