"""The registry: versions of models put in, listed, taken out and verified, made champion, and taken back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galmorph.bundle import load_bundle
from galmorph.digests import file_sha256
from galmorph.errors import RegistryError
from galmorph.registry.champion import change_champion
from galmorph.registry.files import Files
from galmorph.registry.lineage import PREFIX as TAG
from galmorph.registry.lineage import lineage
from galmorph.registry.names import Reference, check_name
from galmorph.registry.promotion import CHALLENGER, CHAMPION, Promotion, champions, effective, read_promotions
from galmorph.registry.store import one_at_a_time, open_store, sqlite_file, store_uri
from galmorph.registry.version import Version, aliases_of, read_version


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
        self._files = Files(self._client, self.uri)

    def names(self) -> list[str]:
        """Names of the registered models, sorted."""
        found, page = [], self._client.search_registered_models()
        while True:
            found += [str(model.name) for model in page]
            if not page.token:
                return sorted(found)
            page = self._client.search_registered_models(page_token=page.token)

    def versions(self, name: str) -> list[Version]:
        """Versions of a model, the newest first.

        Raises
        ------
        RegistryError
            If there is no such model.
        """
        aliases = aliases_of(self._model(name))
        found = self._client.search_model_versions(f"name='{name}'")
        return sorted((read_version(each, aliases) for each in found), key=lambda version: -version.number)

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
            Checkpoint to go on training from, a ``.safetensors`` file; a version that was there without one gets it.
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
        with one_at_a_time(self.file):
            known = self._find(check_name(name), checked.sha256)
            run, source = self._files.keep(checked, name) if known is None else (known.run, known.source)
            if weights is not None and (known is None or "weights_sha256" not in known.facts):
                self._files.keep_weights(run, weights)
                given["weights_sha256"] = file_sha256(weights)
            if known is None:
                tags = {TAG + key: value for key, value in (lineage(checked) | given).items()}
                made = self._client.create_model_version(name, source, run_id=run, tags=tags)
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
        return self._files.bundle(version)

    def weights(self, version: Version) -> Path | None:
        """Checkpoint of a version to go on training from, verified; None if it was registered without one.

        Raises
        ------
        RegistryError
            If the file is gone or is not the one that was registered.
        """
        return self._files.weights(version)

    def champion(self, name: str) -> Version | None:
        """The version in use; None if there is none."""
        number = aliases_of(self._model(name)).get(CHAMPION)
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
        with one_at_a_time(self.file):
            model = self._model(version.name)
            return change_champion(self._client, model, "promote", version.number, why, who=who, expected=expected)

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
        with one_at_a_time(self.file):
            stack = champions(self.history(name), aliases_of(self._model(name)).get(CHAMPION))
            if len(stack) < 2:
                raise RegistryError(
                    f"{name} has had no champion before the present one that its records in {self.uri} know of; "
                    "promote a version with `galmorph models promote`"
                )
            self.fetch(self.get(Reference(name, str(stack[-2]))))
            return change_champion(self._client, self._model(name), "rollback", stack[-2], why, who=who)

    def history(self, name: str) -> list[Promotion]:
        """Changes of the champion that were made, the oldest first."""
        model = self._model(name)
        return effective(read_promotions(model.tags), aliases_of(model).get(CHAMPION))

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

    def _find(self, name: str, sha256: str) -> Version | None:
        """The version that holds a bundle; the model is made if there is none of that name."""
        if name not in self.names():
            self._client.create_registered_model(name)
        return next((version for version in self.versions(name) if version.facts.get("sha256") == sha256), None)


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
