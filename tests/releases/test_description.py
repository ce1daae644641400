"""Descriptions of releases: what is read, and what is refused."""

from pathlib import Path

import pytest

from galmorph.errors import ConfigError
from galmorph.releases.description import load_release, parse_release

ROOT = Path(__file__).parents[2]

VALUES = {
    "name": "y10",
    "model": "models:/lsst@champion",
    "tiles": {"inputs": ["tiles"], "survey": "mock-lsst-y10"},
    "adapt": {"recipe": "recipe.toml"},
    "gates": {"source": {}, "estimate": {}},
}


def test_paths_start_at_the_file(tmp_path):
    values = VALUES | {"gather": {"labels": ["a.csv"]}, "register": {"name": "lsst", "registry": "runs/mlflow.db"}}
    release = parse_release(values | {"old_catalog": "old"}, tmp_path)
    assert release.model == "models:/lsst@champion"
    assert release.tiles.inputs == (str(tmp_path / "tiles"),)
    assert release.tiles.survey == "mock-lsst-y10"
    assert release.gather.labels == (str(tmp_path / "a.csv"),)
    assert release.adapt.recipe == tmp_path / "recipe.toml"
    assert release.register.registry == str(tmp_path / "runs" / "mlflow.db")
    assert release.old_catalog == tmp_path / "old"
    folder = parse_release(values | {"model": "model"}, tmp_path)
    assert folder.model == str(tmp_path / "model")
    server = parse_release(values | {"register": {"name": "lsst", "registry": "http://host:5000"}}, tmp_path)
    assert server.register.registry == "http://host:5000"


def test_what_is_written_is_read_again(tmp_path):
    release = parse_release(VALUES, tmp_path)
    (tmp_path / "release.toml").write_text(release.to_toml())
    assert load_release(tmp_path / "release.toml") == release


@pytest.mark.parametrize("path", sorted((ROOT / "catalogs" / "releases").glob("*.toml")), ids=lambda path: path.name)
def test_examples_can_be_read(path):
    assert load_release(path).name


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": "red"}, "colour is not a setting"),
        ({"gates": {"source": {"dorp": 0.1}}}, "gates.source.dorp is not a setting"),
        ({"gates": {}}, "only with the gate source"),
        ({"gates": {"source": {}}}, "only with the gate source"),
        ({"gates": {"source": {}, "target": {}}}, "the gate target needs labels"),
        ({"gates": {"source": {}, "estimate": {}, "unknown": {"least": 0.5, "most": 0.5}}}, "least must be below most"),
        ({"adapt": {"recipe": "r.toml", "start": "scratch", "leave_out": ["head"]}}, "leave_out goes with"),
        ({"adapt": {"recipe": "r.toml", "leave_out": ["encoder", "neck", "head", "open_head"]}}, "says so"),
        ({"adapt": {"recipe": "r.toml", "minutes": 0}}, "greater than 0"),
        ({"tiles": {"inputs": [], "survey": "sdss"}}, "tiles.inputs"),
    ],
)
def test_what_is_refused(changes, says, tmp_path):
    with pytest.raises(ConfigError, match=says):
        parse_release(VALUES | changes, tmp_path)


def test_gates_that_are_not_there_are_not_asked_for(tmp_path):
    release = parse_release(VALUES | {"register": {"name": "lsst"}, "gates": {}}, tmp_path)
    assert release.gates.int8 is None
    assert not release.register.promote


def test_a_file_that_is_not_there_is_called_what_it_is(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the description of a release .*nosuch\.toml: No such file"):
        load_release(tmp_path / "nosuch.toml")
    (tmp_path / "odd.toml").write_text("extends = 3\n")
    with pytest.raises(ConfigError, match="extends must be the path of a description of a release, got 3"):
        load_release(tmp_path / "odd.toml")
