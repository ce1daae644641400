"""``galmorph models``: the registry, one verb for each question or change."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from galmorph.errors import RegistryError

app = App(name="models", help="The registry of models: which versions there are, which is in use, and going back.")

Store = Annotated[
    str | None,
    Parameter(
        name="--registry",
        help="An sqlite file such as runs/mlflow.db, or the address of an MLflow server; by default what "
        "MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI says, else runs/mlflow.db.",
    ),
]
Format = Annotated[Literal["table", "json"], Parameter(help="table for reading, json for other programs.")]


@app.command(name="list")
def list_models(name: str | None = None, /, *, registry: Store = None, format: Format = "table") -> None:  # noqa: A002
    """List models with their versions, the newest first.

    Parameters
    ----------
    name
        Only this model.
    """
    from galmorph.registry import Registry

    store = Registry(registry)
    versions = [version for each in ([name] if name else store.names()) for version in store.versions(each)]
    if format == "json":
        print(json.dumps([version.to_dict() for version in versions], indent=2))
        return
    # What is typed next stays whole however narrow the screen is.
    whole = Column("model", no_wrap=True, min_width=max((len(str(version)) for version in versions), default=0))
    table = Table(whole, "", "created", "gates", "recipe", "parent", "release", box=None, pad_edge=False)
    for version in versions:
        facts = [escape(version.facts.get(key, "")) for key in ("gates", "recipe", "parent", "release")]
        table.add_row(str(version), " ".join(f"@{alias}" for alias in version.aliases), version.created[:10], *facts)
    Console(highlight=False).print(table)


@app.command
def show(model: str, /, *, registry: Store = None, format: Format = "table") -> None:  # noqa: A002
    """Show a version: where it comes from, where it lies, and how its model's champion changed.

    Parameters
    ----------
    model
        models:/NAME@ALIAS or models:/NAME/VERSION.
    """
    from galmorph.registry import Registry

    store = Registry(registry)
    version = store.get(model)
    folder, history = store.fetch(version), store.history(version.name)
    if format == "json":
        changes = [vars(record) for record in history]
        print(json.dumps(version.to_dict() | {"folder": str(folder), "history": changes}, indent=2))
        return
    console = Console(highlight=False)
    console.print(
        f"{version} {' '.join(f'@{alias}' for alias in version.aliases)}".strip(), markup=False, soft_wrap=True
    )
    facts = {"created": version.created, "folder": str(folder)} | version.facts
    _print_pairs(console, facts)
    for record in history:
        before = "" if record.from_version is None else f" instead of {record.from_version}"
        line = f"{record.when} {record.kind}: {record.version}{before}, by {record.who}: {record.why}"
        console.print(escape(line), soft_wrap=True)


@app.command
def register(bundle: Path, /, *, name: str, weights: Path | None = None, registry: Store = None) -> None:
    """Put a bundle into the registry, as the next version of a model; one that is there already stays one version.

    Parameters
    ----------
    bundle
        Folder of the bundle.
    name
        Of the model.
    weights
        The training that it was exported from (its folder, or a checkpoint), to go on training from later.
    """
    from galmorph.registry import Registry

    store = Registry(registry, create=True)
    with tempfile.TemporaryDirectory() as scratch:
        kept = None if weights is None else _weights(weights, bundle, Path(scratch))
        version = store.register(bundle, name, weights=kept)
    Console(highlight=False).print(f"{version} in {store.uri}", markup=False, soft_wrap=True)


def _weights(training: Path, bundle: Path, scratch: Path) -> Path:
    """The checkpoint of a bundle's training, without the state of its optimiser."""
    from galmorph.bundle import load_bundle
    from galmorph.releases.weights import travelling_weights
    from galmorph.training.checkpoint import read_checkpoint

    kept = travelling_weights(training, scratch / "weights.safetensors")
    if read_checkpoint(kept)["record"]["digests"] != load_bundle(bundle).manifest.training.get("data"):
        raise RegistryError(
            f"{training} was trained on other data than {bundle}; give the training it was exported from"
        )
    return kept


@app.command
def promote(
    model: str,
    /,
    *,
    why: str,
    who: str | None = None,
    despite_gates: Annotated[bool, Parameter(negative=())] = False,
    registry: Store = None,
) -> None:
    """Make a version the champion; who, when, why and instead of which version is kept.

    Parameters
    ----------
    model
        models:/NAME/VERSION or models:/NAME@challenger.
    why
        The reason, in words.
    who
        By default the user and the machine.
    despite_gates
        Even if the gates of a release said no.
    """
    from galmorph.registry import Registry

    store = Registry(registry)
    version = store.get(model)
    if version.facts.get("gates") == "failed" and not despite_gates:
        raise RegistryError(
            f"{version} did not pass the gates of {version.facts.get('release') or 'its release'}; read its report "
            f"({version.facts.get('report', 'none was kept')}), and promote it with --despite-gates if you know better"
        )
    _say(store.promote(version, why, who=who))


@app.command
def rollback(name: str, /, *, why: str, who: str | None = None, registry: Store = None) -> None:
    """Make the champion before the present one the champion again.

    Parameters
    ----------
    name
        Of the model.
    why
        The reason, in words.
    who
        By default the user and the machine.
    """
    from galmorph.registry import Registry

    _say(Registry(registry).rollback(name, why, who=who))


@app.command
def compare(
    one: Path,
    other: Path,
    /,
    *,
    registry: Store = None,
    format: Format = "table",  # noqa: A002
) -> None:
    """Put two models beside each other: what they are, what they were trained on, and how good they were at export.

    Parameters
    ----------
    one, other
        Models of the registry (models:/NAME@ALIAS or models:/NAME/VERSION) or folders of bundles.
    """
    from galmorph.bundle import load_bundle
    from galmorph.registry import fetch_bundle, is_reference
    from galmorph.registry.comparison import compare_manifests

    folders = [fetch_bundle(each, registry) if is_reference(each) else each for each in (one, other)]
    rows = compare_manifests(*(load_bundle(folder).manifest for folder in folders))
    if format == "json":
        print(json.dumps([row._asdict() for row in rows], indent=2))
        return
    table = Table("", escape(str(one)), escape(str(other)), box=None, pad_edge=False)
    for row in rows:
        cells = (row.name, row.one, row.other)
        table.add_row(*(escape(cell) for cell in cells), style="bold" if row.differs and not row.measure else None)
    Console(highlight=False).print(table)


def _say(record: Any) -> None:
    before = "" if record.from_version is None else f", instead of version {record.from_version}"
    Console(highlight=False).print(
        escape(f"version {record.version} is the champion{before}; change {record.number}, by {record.who}"),
        soft_wrap=True,
    )


def _print_pairs(console: Console, facts: Mapping[str, str]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(escape(key), escape(value))
    console.print(table)
