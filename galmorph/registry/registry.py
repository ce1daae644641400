"""Versions of models: put in, listed, taken out and verified, made champion, and taken back."""

import contextlib
import fcntl
import getpass
import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlparse

from galmorph.bundle import Bundle, load_bundle
from galmorph.errors import BundleError, RegistryError
from galmorph.registry.lineage import PREFIX as TAG
from galmorph.registry.lineage import lineage
from galmorph.registry.names import Reference, check_name
from galmorph.registry.promotion import CHALLENGER, CHAMPION, LONGEST, Promotion, champions, effective, read_promotions
from galmorph.registry.store import ARTEFACTS, artefacts_beside, open_store, sqlite_file, store_uri

#: Experiment whose runs hold the files of versions, and folders in a run.
EXPERIMENT, MODEL, WEIGHTS = "galmorph-models", "model", "weights"

#: File of weights to go on training from; the bundle itself is ONNX.
WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class Version:
    """A version of a model.

    Parameters
    ----------
    name : str
        Of the model.
    number : int
        Counted from 1.
    created : str
        UTC, ISO 8601.
    aliases : tuple of str
        Such as champion.
    facts : dict
        What was recorded of it: `sha256` of the bundle, `parent`, `recipe`, `commit`, `data.…` and `target.…` digests,
        `release`, `gates`, `weights_sha256` and what else the one who registered it gave.
    source : str
        Where its files are.
    run : str
        MLflow's run that holds them.
    """

    name: str
    number: int
    created: str
    aliases: tuple[str, ...]
    facts: dict[str, str] = field(hash=False)
    source: str
    run: str

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.number}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return {
            "model": str(self),
            "name": self.name,
            "version": self.number,
            "created": self.created,
            "aliases": list(self.aliases),
            "facts": self.facts,
            "source": self.source,
        }


class Registry:
    """The registry in a store.

    Parameters
    ----------
    uri : str or Path, optional
        See `galmorph.registry.store.store_uri`.
    create : bool
        Make an sqlite file that is not there.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed.
    RegistryError
        If there is no such file and none shall be made.
    ConfigError
        If the store cannot be opened.
    """

    def __init__(self, uri: str | Path | None = None, *, create: bool = False) -> None:
        self.uri = store_uri(uri)
        self.file = sqlite_file(self.uri)
        if self.file is not None and not create and not self.file.is_file():
            raise RegistryError(
                f"there is no registry at {self.file}. `galmorph models register BUNDLE --name NAME` and "
                "`galmorph retrain` make one; name another with --registry or MLFLOW_REGISTRY_URI"
            )
        self._client = open_store(self.uri, "The registry of models")

    def names(self) -> list[str]:
        """Names of the registered models, sorted."""
        return sorted(str(model.name) for model in self._client.search_registered_models())

    def versions(self, name: str) -> list[Version]:
        """Versions of a model, the newest first.

        Raises
        ------
        RegistryError
            If there is no such model.
        """
        aliases = self._aliases(self._model(name))
        found = self._client.search_model_versions(f"name='{name}'")
        return sorted((_version(each, aliases) for each in found), key=lambda version: -version.number)

    def get(self, reference: Reference | str) -> Version:
        """A version by ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

        Raises
        ------
        RegistryError
            If there is none.
        """
        reference = reference if isinstance(reference, Reference) else Reference.parse(reference)
        versions = self.versions(reference.name)
        for version in versions:
            if reference.which == str(version.number) or reference.which in version.aliases:
                return version
        there = ", ".join(f"{each.number}{''.join(f' @{alias}' for alias in each.aliases)}" for each in versions)
        raise RegistryError(f"{reference} is not in {self.uri}; versions of {reference.name} there: {there or 'none'}")

    def register(
        self,
        bundle: Path,
        name: str,
        *,
        weights: Path | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> Version:
        """Put a bundle into the registry; one that is there already is not put in twice.

        Parameters
        ----------
        bundle : Path
            Its folder, which is verified and copied.
        name : str
            Of the model that it is a version of.
        weights : Path, optional
            Checkpoint to go on training from, a ``.safetensors`` file.
        facts : mapping of str to str, optional
            What to record beside what the bundle says of itself; a version that was there takes them over.

        Returns
        -------
        Version
            Without alias, unless it was there and has one.

        Raises
        ------
        BundleError
            If the bundle does not verify.
        RegistryError
            If the name is impossible.
        """
        checked, given = load_bundle(bundle), dict(facts or {})
        known = self._find(check_name(name), checked.sha256)
        if known is None:
            extra = {} if weights is None else {"weights_sha256": _sha256(weights)}
            everything = lineage(checked) | extra | given
            run = self._store_files(checked, name, weights)
            tags = {TAG + key: value for key, value in everything.items()}
            uri = f"{self._client.get_run(run).info.artifact_uri}/{MODEL}"
            made = self._client.create_model_version(name, uri, run_id=run, tags=tags)
            return self.get(Reference(name, str(made.version)))
        for key, value in given.items():
            self._client.set_model_version_tag(name, str(known.number), TAG + key, value)
        return self.get(Reference(name, str(known.number)))

    def fetch(self, version: Version) -> Path:
        """Folder of a version's bundle, verified.

        Parameters
        ----------
        version : Version
            Which.

        Returns
        -------
        Path
            Where the registry keeps it, or of a server's a copy in the cache of the user.

        Raises
        ------
        RegistryError
            If the files are gone or are not those that were registered.
        """
        sha256 = version.facts.get("sha256", "")
        folder = self._local(version.source) or self._download(version, MODEL, sha256)
        try:
            bundle = load_bundle(folder)
        except BundleError as error:
            raise RegistryError(f"{version} in {self.uri} cannot be used: {error}") from error
        if bundle.sha256 != sha256:
            raise RegistryError(
                f"{version} in {self.uri} is not the bundle that was registered (SHA-256 {bundle.sha256[:12]}…, not "
                f"{sha256[:12]}…); register the right one again, and promote another version meanwhile"
            )
        return folder

    def weights(self, version: Version) -> Path | None:
        """Checkpoint of a version to go on training from, verified; None if it was registered without one.

        Raises
        ------
        RegistryError
            If the file is gone or is not the one that was registered.
        """
        sha256 = version.facts.get("weights_sha256")
        if sha256 is None:
            return None
        source = version.source.removesuffix(f"/{MODEL}") + f"/{WEIGHTS}"
        folder = self._local(source) or self._download(version, WEIGHTS, sha256)
        file = folder / WEIGHTS_FILE
        if not file.is_file() or _sha256(file) != sha256:
            raise RegistryError(f"{version}: {file} is gone or is not the file that was registered; train from scratch")
        return file

    def champion(self, name: str) -> Version | None:
        """The version in use; None if there is none."""
        number = self._aliases(self._model(name)).get(CHAMPION)
        return None if number is None else self.get(Reference(name, str(number)))

    def challenge(self, version: Version) -> None:
        """Make a version the challenger."""
        self._client.set_registered_model_alias(version.name, CHALLENGER, str(version.number))

    def promote(self, version: Version, why: str, *, who: str | None = None, expected: int | None = None) -> Promotion:
        """Make a version the champion.

        Who, when, why and from which version are written down first; the alias then changes in one transaction.
        Somebody who asks for the champion gets the old one or the new one, and no change is without record.

        Parameters
        ----------
        version : Version
            Its files are verified before.
        why : str
            In words.
        who : str, optional
            By default the user and the machine.
        expected : int, optional
            The champion that this one was compared with: if it is another one by now, nothing is changed.

        Returns
        -------
        Promotion
            The record.

        Raises
        ------
        RegistryError
            If its files cannot be used, it is champion already, no reason is given, or the champion is not the
            expected one.
        """
        self.fetch(version)
        with self._alone():
            return self._change("promote", version.name, version.number, why, who, expected)

    def rollback(self, name: str, why: str, *, who: str | None = None) -> Promotion:
        """Make the champion before the present one the champion again.

        Parameters
        ----------
        name : str
            Of the model.
        why : str
            In words.
        who : str, optional
            By default the user and the machine.

        Returns
        -------
        Promotion
            The record.

        Raises
        ------
        RegistryError
            If there is no champion before, its files cannot be used, or no reason is given.
        """
        with self._alone():
            stack = champions(self.history(name))
            if len(stack) < 2:
                raise RegistryError(
                    f"{name} has had no champion before the present one that its records in {self.uri} know of; "
                    "promote a version with `galmorph models promote`"
                )
            self.fetch(self.get(Reference(name, str(stack[-2]))))
            return self._change("rollback", name, stack[-2], why, who, None)

    def history(self, name: str) -> list[Promotion]:
        """Changes of the champion that were made, the oldest first."""
        model = self._model(name)
        return effective(read_promotions(model.tags), self._aliases(model).get(CHAMPION))

    def _change(
        self,
        kind: Literal["promote", "rollback"],
        name: str,
        number: int,
        why: str,
        who: str | None,
        expected: int | None,
    ) -> Promotion:
        if not why.strip() or len(why) > LONGEST:
            raise RegistryError(f"say why, in 1 to {LONGEST} characters: the reason is kept with the change")
        model = self._model(name)
        aliases = self._aliases(model)
        before = aliases.get(CHAMPION)
        if before == number:
            raise RegistryError(f"version {number} of {name} is the champion already")
        if expected is not None and before != expected:
            raise RegistryError(
                f"the champion of {name} is version {before} by now, and version {number} was compared with "
                f"{expected}; compare them anew"
            )
        written = read_promotions(model.tags)
        record = Promotion(
            number=written[-1].number + 1 if written else 1,
            kind=kind,
            version=number,
            from_version=before,
            who=who or f"{_user()}@{socket.gethostname()}",
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            why=why,
        )
        self._client.set_registered_model_tag(name, *record.tag())
        self._client.set_registered_model_alias(name, CHAMPION, str(number))
        if aliases.get(CHALLENGER) == number:
            self._client.delete_registered_model_alias(name, CHALLENGER)
        return record

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time; of a server's by the order in which it takes them."""
        if self.file is None:
            yield
            return
        with self.file.with_name(f"{self.file.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _model(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_registered_model(check_name(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise RegistryError(f"{self.uri} does not answer: {error.message}") from error
            raise RegistryError(
                f"{name} is not in {self.uri}; models there: {', '.join(self.names()) or 'none'}"
            ) from error

    @staticmethod
    def _aliases(model: Any) -> dict[str, int]:
        return {str(alias): int(number) for alias, number in model.aliases.items()}

    def _find(self, name: str, sha256: str) -> Version | None:
        """The version that holds a bundle; the model is made if there is none of that name."""
        if name not in self.names():
            self._client.create_registered_model(name)
        return next((version for version in self.versions(name) if version.facts.get("sha256") == sha256), None)

    def _store_files(self, bundle: Bundle, name: str, weights: Path | None) -> str:
        """Copy files into a run of their own."""
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        identity = (
            self._client.create_experiment(EXPERIMENT, artefacts_beside(self.uri))
            if experiment is None
            else experiment.experiment_id
        )
        run = str(self._client.create_run(identity, run_name=name).info.run_id)
        self._client.log_artifacts(run, str(bundle.path), MODEL)
        if weights is not None:
            with tempfile.TemporaryDirectory() as scratch:
                named = Path(scratch) / WEIGHTS_FILE
                named.symlink_to(weights.resolve())
                self._client.log_artifact(run, str(named), WEIGHTS)
        self._client.set_terminated(run, "FINISHED")
        return run

    def _local(self, source: str) -> Path | None:
        """The folder of files that lie on this machine; beside the sqlite file if that was moved with them."""
        address = urlparse(source)
        if address.scheme not in ("", "file"):
            return None
        folder = Path(unquote(address.path))
        if folder.is_dir() or self.file is None or ARTEFACTS not in folder.parts:
            return folder
        place = len(folder.parts) - folder.parts[::-1].index(ARTEFACTS) - 1
        return self.file.parent.joinpath(*folder.parts[place:])

    def _download(self, version: Version, what: str, sha256: str) -> Path:
        """Copy of a server's files, by digest, in the user's cache."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galmorph" / "models"
        folder = cache / f"{sha256}-{what}"
        if folder.is_dir():
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".loading-") as scratch:
            try:
                got = Path(self._client.download_artifacts(version.run, what, scratch))
            except Exception as error:  # whatever a server's driver raises
                raise RegistryError(f"{version}: {self.uri} does not give its files: {error}") from error
            with contextlib.suppress(OSError):  # another process was faster
                got.replace(folder)
        return folder


def fetch_bundle(reference: str | Path, uri: str | Path | None = None) -> Path:
    """Folder of a bundle that a reference names, verified.

    Parameters
    ----------
    reference : str or Path
        ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
    uri : str or Path, optional
        Of the registry, see `galmorph.registry.store.store_uri`.

    Returns
    -------
    Path
        For `galmorph.bundle.load_bundle`.

    Raises
    ------
    MissingExtraError
        If MLflow is not installed; a folder can be used without it.
    RegistryError
        If there is no such model, or its files cannot be used.
    """
    wanted = Reference.parse(reference)
    registry = Registry(uri)
    return registry.fetch(registry.get(wanted))


def _version(made: Any, aliases: Mapping[str, int]) -> Version:
    number = int(made.version)
    return Version(
        name=str(made.name),
        number=number,
        created=datetime.fromtimestamp(made.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        aliases=tuple(sorted(alias for alias, other in aliases.items() if other == number)),
        facts={key.removeprefix(TAG): str(value) for key, value in sorted(made.tags.items()) if key.startswith(TAG)},
        source=str(made.source),
        run=str(made.run_id),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in a container
        return str(os.getuid())
