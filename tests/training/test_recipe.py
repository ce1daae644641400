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
        ({"name": "a" * 101}, r"name: .*pattern"),
        ({"stretch": {"kind": "sqrt"}}, r"stretch\.kind: .*'asinh', .* or 'percentile', got 'sqrt'"),
        ({"stretch": {"kind": "linear", "low": 1.0, "high": 1.0}}, r"low must be less than high"),
        ({"export": {"unknown_score": "strangers"}}, r"unknown_score = 'strangers' goes with threshold"),
        ({"export": {"threshold": "strangers"}}, r"^recipe: export.threshold is strangers.*method.weights"),
        ({"split": {"train": 0.9}}, r"must sum to 1, got 1\.3"),
        ({"optimiser": {"learning_rate": float("inf")}}, r"optimiser\.learning_rate"),
        ({"source": {"path": "set"}}, r"source\.classes is missing"),
        ({"source": {"path": "set", "classes": ["a"]}}, r"source\.classes: .*at least 2"),
        ({"source": {"path": "s", "classes": ["a", "b"], "private": ["b"]}}, r"b cannot be among the classes to learn"),
        ({"source": {"path": "s", "classes": ["a", "b", "a"]}}, r"of the classes to learn a stands twice"),
        ({"source": {"path": "s", "classes": ["a", "b", "A"]}}, r"of the classes to learn A, a stands twice"),
        ({"source": {"path": "s", "classes": ["a", "unknown"]}}, r"unknown is .* no class to learn: .*private"),
        ({"source": {"path": "s", "classes": ["a", "b"], "size": 8}}, r"kind 'cutouts' do not take size"),
        ({"target": {"path": "t", "kind": "arrays", "faults": "skip"}}, r"kind 'arrays' do not take faults"),
        ({"source": {"path": "s", "classes": ["a", "b", ""]}}, r"empty word stands for images without a label"),
        ({"seed": 2**32}, r"seed: .*less than 4294967296"),
        ({"stretch": {"kind": "linear", "low": float("-inf")}}, r"stretch\.low: .*finite"),
        ({"split": {"train": 0.5}}, r"must sum to 1, got 0\.9$"),
        ({"fit": {"batch_size": 1}}, r"fit\.batch_size: .*greater than or equal to 2, got 1"),
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
    (tmp_path / "latin.toml").write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.toml is not valid TOML: 'utf-8' codec"):
        load_recipe(tmp_path / "latin.toml")


def test_a_mark_of_utf8_before_a_recipe_is_no_fault(tmp_path):
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + 'name = "x"\ndescription = "é"\n[source]\n'.encode())
    with path.open("a") as file:
        file.write('path = "set"\nclasses = ["a", "b"]\n')
    assert load_recipe(path).description == "é"


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def family(tmp_path):
    """A recipe that extends one in another folder, and one that extends it in turn."""
    write(
        tmp_path / "base" / "base.toml",
        """
        name = "base"
        seed = 4
        [source]
        path = "../set"
        classes = ["a", "b"]
        [method]
        name = "mmd"
        weights = { mmd = 2.0 }
        [method.fisher]
        within = 0.5
        [optimiser]
        learning_rate = 0.5
        betas = [0.7, 0.8]
        """,
    )
    write(
        tmp_path / "middle" / "middle.toml",
        """
        extends = "../base/base.toml"
        name = "middle"
        [target]
        path = "set"
        [optimiser]
        learning_rate = 0.25
        """,
    )
    return write(
        tmp_path / "last.toml",
        """
        extends = "middle/middle.toml"
        name = "last"
        [method]
        name = "mmd_f"
        weights = { fisher = 1.0 }
        [method.fisher]
        between = 0.1
        """,
    )


def test_a_recipe_over_the_one_that_it_extends(family, tmp_path):
    recipe = load_recipe(family)
    assert (recipe.name, recipe.seed) == ("last", 4)
    assert (recipe.optimiser.learning_rate, recipe.optimiser.betas) == (0.25, (0.7, 0.8))
    # A table within a table is joined; weights are one setting.
    assert (recipe.method.fisher.within, recipe.method.fisher.between) == (0.5, 0.1)
    assert recipe.method.weights == {"fisher": 1.0}
    # Each path starts at the folder of the file that it stands in.
    assert recipe.source.path == tmp_path / "set"
    assert recipe.target.path == tmp_path / "middle" / "set"


def test_extending_what_is_not_there_or_oneself(family, tmp_path):
    (tmp_path / "base" / "base.toml").unlink()
    with pytest.raises(ConfigError, match=r"cannot read the recipe .*base\.toml, which .*middle\.toml extends"):
        load_recipe(family)
    write(tmp_path / "base" / "base.toml", 'extends = "../last.toml"')
    with pytest.raises(ConfigError, match=r"last\.toml extends itself, by way of last\.toml, middle\.toml, base\.toml"):
        load_recipe(family)
    with pytest.raises(ConfigError, match="extends must be the path of a recipe, got 3"):
        load_recipe(write(tmp_path / "number.toml", "extends = 3"))


def test_a_mistake_in_an_extended_recipe_is_named(family, tmp_path):
    path = tmp_path / "base" / "base.toml"
    path.write_text(path.read_text().replace("betas", "betaas"))
    with pytest.raises(ConfigError, match=r"last\.toml: optimiser\.betaas is not a setting"):
        load_recipe(family)
