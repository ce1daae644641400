"""The command line as a user meets it: help, errors in words, output for reading and for programs."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from make_bundle import make_bundle
from make_sky import BANDS, make_tile
from packaging.requirements import Requirement

from galmorph import cli
from galmorph.cli import app, main
from galmorph.cli.doctor import EXTRAS
from galmorph.errors import RunError, Terminated

VERBS = ["demo", "doctor", "surveys", "mock", "cutouts", "methods", "train", "export", "evaluate", "plan", "classify"]
CATALOG_VERBS = ["info", "query", "candidates"]
IMPORT_VERBS = ["deepmerge", "lsst", "galaxy10", "galaxy-zoo", "pictures"]
HEAVY = ["numpy", "pandas", "astropy", "torch", "dask", "distributed", "hats", "duckdb", "onnxruntime", "sep", "cv2"]
CONFIGURATIONS = sorted((Path(__file__).parents[2] / "inference").glob("*.toml"))


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    try:
        main(list(arguments))
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def one_paragraph(text: str) -> bool:
    return text.startswith("galmorph: ") and text.count("\n") == 1 and "Traceback" not in text


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    make_tile(folder / "tiles", "a", seed=1)
    bundle = make_bundle(folder / "model", list(BANDS))
    main([
        "classify", str(folder / "tiles"), "--survey", "mock-decals", "--model", str(bundle.path),
        "--out", str(folder / "run"), "--workers", "1",
    ])  # fmt: skip
    return folder / "run"


def test_the_help_names_every_verb(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for verb in [*VERBS, "catalog", "import"]:
        assert re.search(rf"│ {verb} +\w", out), verb


@pytest.mark.parametrize(
    "verb",
    [[verb] for verb in VERBS]
    + [["catalog", verb] for verb in CATALOG_VERBS]
    + [["import", verb] for verb in IMPORT_VERBS],
    ids=" ".join,
)
def test_every_argument_is_explained(verb):
    command = app
    for name in verb:
        command = command[name]
    for argument in command.assemble_argument_collection(parse_docstring=True):
        assert argument.parameter.help or argument.children, argument.name


@pytest.mark.parametrize("code", ["import galmorph", "from galmorph.cli import app"])
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    listed = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert not set(HEAVY) & set(listed.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clasify"], "classify"),
        (["classify", "x", "--survey", "mock-decals"], "--model"),
        (["classify", "x", "--survey", "legacysurvy", "--model", "m", "--out", "o"], "legacysurvey"),
        (["classify", "x", "--survey", "mock-decals", "--model", "no-such-folder", "--out", "o"], "not a model bundle"),
        (["catalog", "info", "no-such-folder"], "no-such-folder"),
        (["surveys", "nowhere"], "nowhere"),
        (["train", "no-such-recipe.toml"], "no-such-recipe.toml"),
        (["train", "recipe.toml", "--seeds"], "--seeds requires at least 1"),
        (["train", "recipe.toml", "--seeds", "1", "--evaluate"], "--evaluate requires at least 1"),
        (["gather", "run", "--against", "bundle", "--out", "out", "--labels"], "--labels requires at least 1"),
        (["mock", "out", "--survey", "legacysurvey"], "mock"),
        (["--config", "no-such.toml", "doctor"], "no-such.toml"),
    ],
)
def test_errors_are_a_paragraph_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert one_paragraph(err), err
    assert said in err


def test_a_defect_is_told_as_such(capsys, monkeypatch):
    monkeypatch.setattr("galmorph.cli.doctor.BASE", None)
    code, _, err = run(capsys, "doctor")
    assert code == 2
    assert "TypeError" in err
    assert "GALMORPH_TRACEBACK" in err
    monkeypatch.setenv("GALMORPH_TRACEBACK", "1")
    with pytest.raises(TypeError):
        main(["doctor"])


def test_doctor_says_what_is_there(capsys):
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    assert re.search(r"providers.*CPUExecutionProvider", out)
    assert re.search(r"gpu +scoring on a GPU +missing: pip install", out)
    assert re.search(r"torch \d", out)


def test_doctor_knows_every_extra_by_a_distribution_of_it():
    requirements = [Requirement(each) for each in importlib.metadata.requires("galmorph-survey") or []]
    extras = set(importlib.metadata.metadata("galmorph-survey").get_all("Provides-Extra")) - {"dev"}
    assert set(EXTRAS) == extras
    for extra, (_, distribution) in EXTRAS.items():
        asked = [each for each in requirements if each.marker and each.marker.evaluate({"extra": extra})]
        assert distribution in {each.name for each in asked}, extra


def test_surveys_are_listed_and_shown(capsys):
    code, out, _ = run(capsys, "surveys")
    assert code == 0
    assert {"legacysurvey", "sdss", "generic", "mock-decals", "mock-sdss"} <= set(out.split())
    code, out, _ = run(capsys, "surveys", "mock-decals")
    assert json.loads(out)["bands"] == ["g", "r", "z"]
    code, out, _ = run(capsys, "surveys", "generic")
    assert code == 0
    assert "image_hdu" in out


def test_a_run_writes_its_settings_beside_its_output(run_folder):
    settings = tomllib.loads((run_folder / "run.toml").read_text())
    assert settings["survey"]["name"] == "mock-decals"
    assert settings["detection"]["threshold"] > 0


def test_catalog_info(capsys, run_folder):
    code, out, _ = run(capsys, "catalog", "info", str(run_folder / "catalog"))
    assert code == 0
    assert "mock-decals" in out
    code, out, _ = run(capsys, "catalog", "info", str(run_folder / "catalog"), "--format", "json")
    assert json.loads(out)[0]["rows"] > 0


def test_catalog_query_in_every_format(capsys, run_folder, tmp_path):
    question = ["catalog", "query", str(run_folder / "catalog"), "SELECT count(*) AS n FROM catalog"]
    code, out, _ = run(capsys, *question)
    assert code == 0
    n = int(out.split()[-1])
    assert run(capsys, *question, "--format", "csv")[1].split() == ['"n"', str(n)]
    assert json.loads(run(capsys, *question, "--format", "json")[1]) == [{"n": n}]
    run(capsys, *question, "--format", "parquet", "--output", str(tmp_path / "n.parquet"))
    assert pq.read_table(tmp_path / "n.parquet").to_pylist() == [{"n": n}]


@pytest.mark.parametrize("kind", ["lens", "merger", "unknown"])
def test_catalog_candidates(capsys, run_folder, kind):
    code, out, _ = run(
        capsys, "catalog", "candidates", str(run_folder / "catalog"), "--kind", kind, "--top", "3", "--format", "json"
    )
    assert code == 0
    assert len(json.loads(out)) <= 3


def test_a_query_that_writes_is_refused(capsys, run_folder):
    code, _, err = run(capsys, "catalog", "query", str(run_folder / "catalog"), "COPY catalog TO 'x.csv'")
    assert code == 2
    assert one_paragraph(err)


def test_options_come_from_a_file_and_the_command_line_goes_before(capsys, run_folder, tmp_path):
    (tmp_path / "run.toml").write_text(
        '[classify]\nsurvey = "nowhere"\nworkers = 1\n[classify.detection]\nthreshold = 5.5\n'
    )
    command = [
        "--config", str(tmp_path / "run.toml"), "classify", str(run_folder.parent / "tiles"),
        "--model", str(run_folder.parent / "model"), "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    assert "nowhere" in run(capsys, *command)[2]
    code, _, err = run(capsys, *command, "--survey", "mock-decals")
    assert code == 0, err
    assert tomllib.loads((tmp_path / "run" / "run.toml").read_text())["detection"]["threshold"] == 5.5


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda path: path.stem)
def test_run_configurations_are_understood(capsys, run_folder, tmp_path, configuration):
    """Every option in them exists: what is missing in the end is only a tile."""
    bands = {
        "sdss": ["g", "r", "i"],
        "euclid-cutouts": ["VIS", "NIR_Y", "NIR_J", "NIR_H"],
        "decam-ccds": ["r"],
    }.get(configuration.stem, ["g", "r", "z"])
    bundle = make_bundle(tmp_path / "model", bands)
    code, _, err = run(
        capsys, "classify", str(tmp_path / "none"), "--config", str(configuration), "--model", str(bundle.path),
        "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert code == 2
    assert "among the inputs" in err, err


@pytest.mark.parametrize(("stop", "code"), [(Terminated, 143), (KeyboardInterrupt, 130)])
@pytest.mark.parametrize("fault", [RuntimeError("a worker did not end in time"), RunError("the scheduler has gone")])
def test_a_fault_while_a_stopped_command_ends_is_no_news(monkeypatch, capsys, stop, code, fault):
    def stopped(*given, **options):
        try:
            raise stop
        finally:
            raise fault

    monkeypatch.setattr(cli, "app", SimpleNamespace(meta=stopped))
    with pytest.raises(SystemExit) as ended:
        main(["classify"])
    assert ended.value.code == code
    assert "the same command goes on from there" in capsys.readouterr().err
    # Of an import nothing is kept.
    with pytest.raises(SystemExit):
        main(["import", "pictures"])
    assert capsys.readouterr().err == "\nStopped.\n"


def test_a_training_that_is_stopped_while_it_is_loaded_says_so():
    code = (
        "import os, signal, sys\n"
        "class Stops:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'galmorph.training.guarded':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Stops())\n"
        "from galmorph.cli import main\n"
        "main(['train', 'no-such-recipe.toml'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 143
    assert "the same command goes on from there" in ended.stderr


def test_a_fault_of_a_command_that_nobody_stopped_is_told(monkeypatch, capsys):
    def failing(*given, **options):
        raise RunError("the scheduler has gone")

    monkeypatch.setattr(cli, "app", SimpleNamespace(meta=failing))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "the scheduler has gone" in capsys.readouterr().err
