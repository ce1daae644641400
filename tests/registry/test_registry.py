"""Models put into a registry, taken out, made champion and taken back, with an sqlite file."""

import dataclasses
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from make_bundle import make_bundle

from galmorph.bundle import load_bundle
from galmorph.cli import main
from galmorph.errors import ConfigError, MissingExtraError, RegistryError
from galmorph.registry import Reference, Registry, fetch_bundle, is_reference, store_uri
from galmorph.registry import store as store_module
from galmorph.registry.files import Files
from galmorph.registry.promotion import Promotion, champions, effective

pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(folder):
    return Registry(folder / "runs" / "mlflow.db", create=True)


@pytest.fixture(scope="module")
def bundles(folder):
    """Three bundles that differ in their bands."""
    return [make_bundle(folder / name, list(name)) for name in ("grz", "gr", "g")]


@pytest.fixture
def store(registry, monkeypatch):
    """The registry as the one that commands take unless told otherwise."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", registry.uri)
    return registry


def test_a_bundle_is_kept_with_its_lineage(registry, bundles, folder):
    weights = folder / "some.safetensors"
    weights.write_bytes(b"tensors")
    version = registry.register(bundles[0].path, "kept", weights=weights, facts={"parent": "models:/kept/0"})
    assert (version.number, version.aliases) == (1, ())
    assert version.facts["sha256"] == bundles[0].sha256
    assert version.facts["bands"] == "g, r, z"
    assert version.facts["parent"] == "models:/kept/0"
    taken = load_bundle(registry.fetch(version))
    assert taken.sha256 == bundles[0].sha256
    assert taken.path != bundles[0].path
    assert registry.weights(version).read_bytes() == b"tensors"


def test_the_same_bundle_is_one_version(registry, bundles):
    first = registry.register(bundles[0].path, "once")
    again = registry.register(bundles[0].path, "once", facts={"gates": "passed"})
    assert (first.number, again.number) == (1, 1)
    assert again.facts["gates"] == "passed"
    assert registry.register(bundles[1].path, "once").number == 2
    assert registry.weights(first) is None


def test_weights_that_come_later_are_kept(registry, bundles, folder):
    registry.register(bundles[0].path, "late")
    for content in (b"late", b"later"):
        (folder / "late.safetensors").write_bytes(content)
        version = registry.register(bundles[0].path, "late", weights=folder / "late.safetensors")
    assert version.number == 1
    assert registry.weights(version).read_bytes() == b"late"


def test_registering_at_once_makes_one_version(registry, bundles):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: registry.register(bundles[0].path, "at-once"), range(4)))
    assert {version.number for version in made} == {1}
    assert len(registry.versions("at-once")) == 1


def test_a_store_of_many_models(bundles, tmp_path):
    """MLflow lists a hundred at a time."""
    registry = Registry(tmp_path / "many.db", create=True)
    for number in range(103):
        registry._client.create_registered_model(f"m{number:03d}")
    assert len(registry.names()) == 103
    assert registry.register(bundles[0].path, "m102").number == 1


def test_promotion_is_recorded_and_taken_back(registry, bundles):
    one, two, three = (registry.register(bundle.path, "lens") for bundle in bundles)
    assert registry.champion("lens") is None
    registry.promote(one, "the first")
    registry.challenge(two)
    assert registry.get("models:/lens@challenger").number == 2
    record = registry.promote(two, "better on Y10", who="ada", expected=1)
    assert (record.number, record.kind, record.version, record.from_version) == (2, "promote", 2, 1)
    assert (record.who, record.why) == ("ada", "better on Y10")
    assert registry.get("models:/lens@champion").aliases == ("champion",)
    with pytest.raises(RegistryError, match="challenger is not in"):
        registry.get("models:/lens@challenger")
    # Somebody else was faster: nothing is changed, and nothing is written.
    with pytest.raises(RegistryError, match="is version 2 by now, and version 3 was compared with 1"):
        registry.promote(three, "late", expected=1)
    with pytest.raises(RegistryError, match="is the champion already"):
        registry.promote(two, "again")
    with pytest.raises(RegistryError, match="say why"):
        registry.promote(three, " ")
    back = registry.rollback("lens", "lost the spirals")
    assert (back.kind, back.version, back.from_version) == ("rollback", 1, 2)
    assert registry.champion("lens").number == 1
    assert [each.number for each in registry.history("lens")] == [1, 2, 3]
    with pytest.raises(RegistryError, match="no champion before"):
        registry.rollback("lens", "further")


def test_a_stop_between_record_and_alias_changes_nothing(registry, bundles, monkeypatch):
    one, two = (registry.register(bundle.path, "stopped") for bundle in bundles[:2])
    registry.promote(one, "the first")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registry._client, "set_registered_model_alias", killed)
        with pytest.raises(KeyboardInterrupt):
            registry.promote(two, "better")
    assert registry.champion("stopped").number == 1
    assert [record.version for record in registry.history("stopped")] == [1]
    registry.promote(two, "better")
    assert [(record.number, record.version) for record in registry.history("stopped")] == [(1, 1), (3, 2)]


def test_a_store_that_is_made_by_several_at_once_is_made_once(tmp_path):
    opens = "import sys; from galmorph.registry import Registry; Registry(sys.argv[1], create=True).names()"
    several = [
        subprocess.Popen(
            [sys.executable, "-c", opens, str(tmp_path / "runs" / "m.db")], stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    told = [each.communicate()[1] for each in several]
    assert [each.returncode for each in several] == [0] * 3, told
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["m.db", "m.db.lock"]


def test_a_store_is_not_there_before_it_is_whole(tmp_path, monkeypatch):
    seen = []
    ask = store_module._asked
    monkeypatch.setattr(store_module, "_asked", lambda *given: seen.append((tmp_path / "m.db").exists()) or ask(*given))
    Registry(tmp_path / "m.db", create=True)
    assert seen == [False, True]


def test_altered_files_are_refused(registry, bundles):
    version = registry.register(bundles[0].path, "altered")
    folder = registry.fetch(version)
    (folder / "README.md").write_text("another card")
    with pytest.raises(RegistryError, match=r"models:/altered/1 .* cannot be used: .*README.md"):
        registry.fetch(version)
    with pytest.raises(RegistryError, match="cannot be used"):
        registry.promote(version, "why not")
    # A whole bundle in the place of the right one does not pass either.
    shutil.rmtree(folder)
    make_bundle(folder, ["u"])
    with pytest.raises(RegistryError, match="is not the bundle that was registered"):
        registry.fetch(version)


def test_files_of_a_server_are_kept_in_the_cache(registry, bundles, tmp_path, monkeypatch):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"tensors")
    version = registry.register(bundles[2].path, "remote", weights=weights)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # As if they lay behind an address and not in a folder.
    monkeypatch.setattr(Files, "local", lambda *_: None)
    folder = registry.fetch(version)
    assert folder.is_relative_to(tmp_path / "cache")
    assert load_bundle(folder).sha256 == bundles[2].sha256
    assert registry.weights(version).read_bytes() == b"tensors"
    monkeypatch.setattr(registry._client, "download_artifacts", None)
    assert registry.fetch(version) == folder
    assert sorted(path.name for path in (tmp_path / "cache" / "galmorph" / "models").iterdir()) == sorted(
        [folder.name, f"{version.facts['weights_sha256']}-weights"]
    )


def test_a_store_that_was_moved_is_found(registry, bundles, tmp_path):
    version = registry.register(bundles[0].path, "moved")
    shutil.copytree(registry.file.parent, tmp_path / "elsewhere")
    source = version.source.replace(str(registry.file.parent), "/nowhere")
    moved = Registry(tmp_path / "elsewhere" / "mlflow.db")
    assert load_bundle(moved.fetch(dataclasses.replace(version, source=source))).sha256 == bundles[0].sha256


def test_what_is_not_there(registry, tmp_path):
    with pytest.raises(RegistryError, match="nothing is not in"):
        registry.get("models:/nothing@champion")
    with pytest.raises(RegistryError, match="there is no registry at"):
        Registry(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "text", ["models:/lens", "models:/lens@", "models:/a b@champion", "models:/../x/1", "lens@champion"]
)
def test_what_is_no_reference(text):
    with pytest.raises(RegistryError, match="names no model of the registry"):
        Reference.parse(text)


def test_references(tmp_path, monkeypatch):
    assert Reference.parse("models:/lens@champion") == Reference("lens", "champion")
    assert str(Reference.parse("models:/lens/12")) == "models:/lens/12"
    assert not is_reference(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    assert store_uri() == f"sqlite:///{tmp_path}/runs/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert store_uri() == "http://host:5000"
    assert store_uri("x.db") == f"sqlite:///{tmp_path}/x.db"


@pytest.mark.parametrize("place", ["a%20b/mlflow.db", "what?/mlflow.sqlite"])
def test_a_path_that_mlflow_would_read_otherwise_is_refused_at_once(place, tmp_path):
    with pytest.raises(ConfigError, match=r"MLflow would take .* for another file"):
        Registry(tmp_path / place, create=True)
    assert not list(tmp_path.iterdir())


def test_a_file_may_end_in_sqlite_and_its_path_hold_a_percent_sign(tmp_path):
    assert Registry(tmp_path / "50% off" / "mlflow.sqlite", create=True).names() == []
    assert [path.name for path in (tmp_path / "50% off").glob("*.sqlite")] == ["mlflow.sqlite"]


@pytest.mark.parametrize("text", ["mlruns", "runs/registry.sql"])
def test_a_path_that_is_no_sqlite_file_is_refused_at_once(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"{text} is no store of MLflow: .*\.db, \.sqlite"):
        Registry(text, create=True)
    assert not list(tmp_path.iterdir())


def test_a_bundle_is_taken_from_the_registry_wherever_one_is_taken(store, bundles):
    store.promote(store.register(bundles[1].path, "used"), "the first")
    assert load_bundle("models:/used@champion").sha256 == bundles[1].sha256
    assert load_bundle(fetch_bundle("models:/used/1")).sha256 == bundles[1].sha256


def test_without_mlflow_a_folder_goes_and_a_reference_says_what_is_missing(bundles, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    assert load_bundle(bundles[0].path).sha256 == bundles[0].sha256
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9")
    with pytest.raises(MissingExtraError, match=r"The registry of models needs .*galmorph-survey\[tracking\]"):
        load_bundle("models:/used@champion")


def test_a_store_that_is_none(tmp_path):
    (tmp_path / "broken.db").write_text("no database at all, and long enough to see it")
    with pytest.raises(ConfigError, match="MLflow cannot open"):
        Registry(tmp_path / "broken.db")


def test_commands(store, bundles, capsys):
    for bundle in bundles[:2]:
        main(["models", "register", str(bundle.path), "--name", "cli"])
    store.register(bundles[1].path, "cli", facts={"gates": "failed", "release": "y10"})
    main(["models", "promote", "models:/cli/1", "--why", "the first"])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["models", "promote", "models:/cli/2", "--why", "I like it"])
    assert "did not pass the gates of y10" in capsys.readouterr().err
    main(["models", "promote", "models:/cli/2", "--why", "I know", "--despite-gates"])
    main(["models", "rollback", "cli", "--why", "I was wrong"])
    capsys.readouterr()
    main(["models", "list", "cli", "--format", "json"])
    listed = json.loads(capsys.readouterr().out)
    assert [(each["version"], each["aliases"]) for each in listed] == [(2, []), (1, ["champion"])]
    main(["models", "show", "models:/cli@champion", "--format", "json"])
    shown = json.loads(capsys.readouterr().out)
    assert [(each["kind"], each["version"]) for each in shown["history"]] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
    ]
    main(["models", "show", "models:/cli/2"])
    printed = capsys.readouterr().out
    assert "I was wrong" in printed
    assert str(store.fetch(store.get("models:/cli/2"))) in "".join(line.strip() for line in printed.splitlines())
    main(["models", "compare", "models:/cli/1", str(bundles[1].path), "--format", "json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["bands"] == {
        "name": "bands", "one": '["g", "r", "z"]', "other": '["g", "r"]', "measure": False, "differs": True
    }  # fmt: skip
    assert not rows["classes"]["differs"]


def changes(*triples):
    """Records of kind, version and version before."""
    return [Promotion(n + 1, kind, version, before, "w", "t", "y") for n, (kind, version, before) in enumerate(triples)]


def test_records_that_came_to_nothing_are_left_out():
    records = changes(("promote", 1, None), ("promote", 3, 1), ("promote", 2, 1))
    assert [each.version for each in effective(records, 2)] == [1, 2]
    assert [each.version for each in effective(records, 1)] == [1]
    assert effective([], None) == []


def test_what_one_can_go_back_to():
    assert champions(changes(("promote", 1, None), ("promote", 2, 1), ("promote", 3, 2), ("rollback", 2, 3)), 2) == [
        1,
        2,
    ]
    assert champions(changes(("promote", 1, None), ("promote", 2, 1), ("rollback", 1, 2), ("promote", 3, 1)), 3) == [
        1,
        3,
    ]
    # A champion that was set elsewhere has no record, and is known from the next one, or is the present one.
    assert champions(changes(("promote", 1, None), ("promote", 3, 2)), 3) == [1, 2, 3]
    assert champions(effective(changes(("promote", 1, None), ("promote", 2, 1)), 4), 4) == [1, 2, 4]
