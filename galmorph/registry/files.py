"""Files of versions: kept as they are, found again, and verified by their digests whenever they are taken out."""

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from galmorph.bundle import Bundle, load_bundle
from galmorph.digests import file_sha256
from galmorph.errors import BundleError, RegistryError
from galmorph.registry.store import ARTEFACTS, artefacts_beside, sqlite_file
from galmorph.registry.version import Version

#: Experiment whose runs hold the files of versions, and folders in a run.
EXPERIMENT, MODEL, WEIGHTS = "galmorph-models", "model", "weights"

#: File of weights to go on training from; the bundle itself is ONNX.
WEIGHTS_FILE = "weights.safetensors"


class Files:
    """Files of versions in a store.

    Parameters
    ----------
    client : mlflow.tracking.MlflowClient
        Of the store.
    uri : str
        Its address.
    """

    def __init__(self, client: Any, uri: str) -> None:
        self.client, self.uri, self.store = client, uri, sqlite_file(uri)

    def keep(self, bundle: Bundle, name: str) -> tuple[str, str]:
        """Copy a bundle into a run of its own.

        Parameters
        ----------
        bundle : Bundle
            Verified.
        name : str
            Of the model.

        Returns
        -------
        run, source : str
            The run, and where the bundle is in the store.
        """
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        identity = (
            self.client.create_experiment(EXPERIMENT, artefacts_beside(self.uri))
            if experiment is None
            else experiment.experiment_id
        )
        run = str(self.client.create_run(identity, run_name=name).info.run_id)
        self.client.log_artifacts(run, str(bundle.path), MODEL)
        self.client.set_terminated(run, "FINISHED")
        return run, f"{self.client.get_run(run).info.artifact_uri}/{MODEL}"

    def keep_weights(self, run: str, weights: Path) -> None:
        """Copy a checkpoint to go on training from beside the bundle of a run."""
        with tempfile.TemporaryDirectory() as scratch:
            named = Path(scratch) / WEIGHTS_FILE
            named.symlink_to(weights.resolve())
            self.client.log_artifact(run, str(named), WEIGHTS)

    def bundle(self, version: Version) -> Path:
        """Folder of a version's bundle, verified; see `galmorph.registry.Registry.fetch`."""
        sha256 = version.facts.get("sha256", "")
        folder = self.local(version.source) or self._download(version, MODEL, sha256)
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
        """Checkpoint of a version, verified; see `galmorph.registry.Registry.weights`."""
        sha256 = version.facts.get("weights_sha256")
        if sha256 is None:
            return None
        source = version.source.removesuffix(f"/{MODEL}") + f"/{WEIGHTS}"
        folder = self.local(source) or self._download(version, WEIGHTS, sha256)
        file = folder / WEIGHTS_FILE
        if not file.is_file() or file_sha256(file) != sha256:
            raise RegistryError(f"{version}: {file} is gone or is not the file that was registered; train from scratch")
        return file

    def local(self, source: str) -> Path | None:
        """The folder of files that lie on this machine, beside the sqlite file if that was moved with them.

        Parameters
        ----------
        source : str
            Where the store says that they are.

        Returns
        -------
        Path or None
            None if a server has them.
        """
        address = urlparse(source)
        if address.scheme not in ("", "file"):
            return None
        folder = Path(unquote(address.path))
        if folder.is_dir() or self.store is None or ARTEFACTS not in folder.parts:
            return folder
        place = len(folder.parts) - folder.parts[::-1].index(ARTEFACTS) - 1
        return self.store.parent.joinpath(*folder.parts[place:])

    def _download(self, version: Version, what: str, sha256: str) -> Path:
        """Copy of a server's files, by digest, in the user's cache."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "galmorph" / "models"
        folder = cache / f"{sha256}-{what}"
        if folder.is_dir():
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".loading-") as scratch:
            try:
                got = Path(self.client.download_artifacts(version.run, what, scratch))
            except Exception as error:  # whatever a server's driver raises
                raise RegistryError(f"{version}: {self.uri} does not give its files: {error}") from error
            with contextlib.suppress(OSError):  # another process was faster
                got.replace(folder)
        return folder
