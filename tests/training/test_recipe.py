from pathlib import Path

import pytest
import tomli_w

from galmorph.errors import ConfigError
from galmorph.training.recipe import load_recipe, parse_recipe

BASE = {"name": "model", "source": {"path": "set", "classes": ["a", "b"]}}


def test_defaults_and_paths_relative_to_the_recipe(tmp_path):
    (tmp_path / "recipe.toml").write_text(tomli_w.dumps(BASE))
    recipe = load_recipe(tmp_path / "recipe.toml")
    assert recipe.source.path == tmp_path / "set"
    assert recipe.source.classes == ("a", "b")
    assert recipe.method.name == "source_only"


def test_resolved_recipe_reads_back_the_same():
    recipe = parse_recipe(BASE, Path("/data"))
    assert parse_recipe(recipe.to_dict(), Path("/elsewhere")) == recipe


def test_portable_recipe_names_no_folder():
    assert parse_recipe(BASE, Path("/data")).portable()["source"]["path"] == "set"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fit": {"epoch": 3}}, r"fit\.epoch is not a setting"),
        ({"fitt": {}}, r"fitt is not a setting"),
        ({"fit": {"epochs": 0}}, r"fit\.epochs: .* greater than or equal to 1, got 0"),
        ({"fit": {"epochs": 1.5}}, r"fit\.epochs: .*integer, got 1\.5"),
        ({"seed": True}, r"seed: .*integer, got True"),
        ({"seed": "1"}, r"seed: .*integer, got '1'"),
        ({"name": "a/b"}, r"name: .*pattern"),
        ({"stretch": {"kind": "sqrt"}}, r"stretch\.kind: .*'asinh', .* or 'percentile', got 'sqrt'"),
        ({"stretch": {"kind": "linear", "low": 1.0, "high": 1.0}}, r"low must be less than high"),
        ({"split": {"train": 0.9}}, r"must sum to 1, got 1\.3"),
        ({"optimiser": {"learning_rate": float("inf")}}, r"optimiser\.learning_rate"),
        ({"source": {"path": "set"}}, r"source\.classes is missing"),
        ({"export": {"false_unknown_rate": 0}}, r"export\.false_unknown_rate: .*greater than 0"),
    ],
)
def test_impossible_settings_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(BASE | change, Path("/data"))


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*none\.toml"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"broken\.toml is not valid TOML"):
        load_recipe(tmp_path / "broken.toml")
