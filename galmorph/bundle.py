"""The model bundle: a folder that holds a network, what it was made for, and proof that nothing was changed.

``model.onnx`` takes calibrated surface brightness and stretches it itself; ``manifest.json`` says for which bands,
how cutouts are framed and what the scores mean; ``reference.npz`` holds known objects in feature space;
``reference.parquet`` holds the statistics of scores and features that a later survey is compared with, and
``reference_sample.parquet``, where there is one, objects to compare with (`galmorph.reference`); ``README.md`` is the
model card. Every file's SHA-256 is in the manifest and is checked at load. Nothing is unpickled.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from galmorph.cutout_set import PIXEL_VALUES, UNIT
from galmorph.digests import file_sha256
from galmorph.errors import BundleError
from galmorph.manifest import FileEntry, Manifest, parse_manifest
from galmorph.scores import FeatureReference, Scores, score

MANIFEST, MODEL, REFERENCE, STATISTICS, CARD = (
    "manifest.json",
    "model.onnx",
    "reference.npz",
    "reference.parquet",
    "README.md",
)

#: Objects that a later release is set beside; bundles exported before it was thought of have none.
SAMPLE = "reference_sample.parquet"

#: How a graph computes. A bundle has the first; the others decide alike in less time, on CPUs and on GPUs.
Precision = Literal["float32", "int8", "float16"]
GRAPHS: dict[Precision, str] = {"float32": MODEL, "int8": "model.int8.onnx", "float16": "model.float16.onnx"}

#: Graph with the source domain's batch statistics, where they differ from those of the domain the model is for.
SOURCE_MODEL = "model_source.onnx"

#: A manifest larger than this is not one.
LARGEST_MANIFEST = 4 * 2**20

#: No file of a bundle is larger: it is what one ONNX file, a protobuf message, can hold. Nor is what one unpacks to.
LARGEST_FILE = 2**31


@dataclass(frozen=True)
class Bundle:
    """A bundle that was checked.

    Parameters
    ----------
    path : Path
        Its folder.
    manifest : Manifest
        What it says of itself.
    sha256 : str
        Digest of the manifest, and through it of every file: the identity of the model.
    reference : FeatureReference
        Known objects in feature space, and what is usual among them.
    """

    path: Path
    manifest: Manifest
    sha256: str
    reference: FeatureReference

    @property
    def model_path(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """In what precisions the bundle holds the network."""
        return tuple(name for name, file in GRAPHS.items() if file in self.manifest.files)

    def graph(self, precision: Precision) -> Path:
        """The ONNX file of a precision.

        Raises
        ------
        BundleError
            If the bundle does not hold it.
        """
        if precision not in self.precisions:
            raise BundleError(
                f"bundle {self.path} has the network in {', '.join(self.precisions)} and not in {precision}. Name it "
                "in export.precisions of the recipe, or give it to `galmorph export --precisions`"
            )
        return self.path / GRAPHS[precision]

    def threshold(self, precision: Precision) -> float:
        """Score above which an object is unknown; a graph in fewer bits has its own."""
        measured = {} if precision == "float32" else self.manifest.precisions.get(precision, {})
        return float(measured.get("threshold", self.manifest.unknown.threshold))

    def score(
        self, logits: NDArray[np.floating], features: NDArray[np.floating], precision: Precision = "float32"
    ) -> Scores:
        """Scores of objects, as this model gives them.

        Parameters
        ----------
        logits, features : ndarray of float
            What a graph says, shapes ``(n, K)`` and ``(n, d)``.
        precision : {"float32", "int8", "float16"}
            Which graph it was.

        Returns
        -------
        Scores
        """
        return score(
            logits,
            features,
            self.reference,
            temperature=self.manifest.temperature,
            unknown_score=self.manifest.unknown.score,
            threshold=self.threshold(precision),
        )

    def check_survey(self, survey: str, bands: Sequence[str], pixel_scale: float) -> list[int]:
        """Where the model's bands stand among a survey's.

        Parameters
        ----------
        survey : str
            Name of the survey or tile, for the message.
        bands : sequence of str
            Bands that the survey has, in its order.
        pixel_scale : float
            Arcsec per pixel.

        Returns
        -------
        list of int
            Index into `bands` of each band of the model. Bands are bound by name, never by place.

        Raises
        ------
        BundleError
            If the model takes no calibrated flux, or the survey lacks a band or its pixels are too coarse or too fine.
        """
        if self.manifest.unit == PIXEL_VALUES:
            raise BundleError(
                f"{survey}: model {self.manifest.name} was trained on {PIXEL_VALUES} ({self.manifest.survey}), and "
                f"tiles hold calibrated flux, which it would misread. "
                f"Use a model trained on cutouts in {UNIT}, such as `galmorph cutouts` makes of tiles and labels."
            )
        lacking = [band for band in self.manifest.bands if band not in bands]
        if lacking:
            raise BundleError(
                f"{survey}: model {self.manifest.name} needs the bands {', '.join(self.manifest.bands)}, and "
                f"{', '.join(lacking)} is not among those there ({', '.join(bands)}). "
                "Use a model trained on these bands, or give the tiles of the missing ones."
            )
        low, high = self.manifest.pixel_scale_range
        if not low <= pixel_scale <= high:
            raise BundleError(
                f"{survey}: model {self.manifest.name} takes images of {low:g} to {high:g} arcsec per pixel, and these "
                f"have {pixel_scale:.3f}. Use a model trained for such a survey."
            )
        return [list(bands).index(band) for band in self.manifest.bands]


def write_bundle(path: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle; digests are added to the manifest.

    Parameters
    ----------
    path : Path
        Folder to make. A bundle already there is replaced once the new one is complete and has been read back.
    manifest : Manifest
        Facts without `files`.
    files : mapping of str to bytes
        Content of ``model.onnx``, ``reference.npz``, ``reference.parquet`` and ``README.md``.

    Returns
    -------
    Bundle
        As read back.

    Raises
    ------
    BundleError
        If a file is missing, or what was written does not verify.
    """
    lacking = {MODEL, REFERENCE, STATISTICS, CARD} - set(files)
    if lacking:
        raise BundleError(f"bundle {path}: content for {', '.join(sorted(lacking))} is missing")
    entries = {name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()}
    complete = manifest.model_copy(update={"files": dict(sorted(entries.items()))})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        for name, data in files.items():
            (new / name).write_bytes(data)
        (new / MANIFEST).write_text(json.dumps(complete.model_dump(mode="json"), indent=2) + "\n")
        load_bundle(new)
        check_replaceable(path)
        if path.exists():
            path.replace(Path(scratch) / "old")
        new.replace(path)
    return load_bundle(path)


def check_replaceable(path: Path) -> None:
    """Fail if a bundle cannot be written to a path: something is there that is none."""
    if path.exists():
        try:
            load_bundle(path)
        except BundleError as error:
            raise BundleError(
                f"{path} is there, and no whole bundle that a new one could replace; choose another folder, or remove "
                f"it ({error})"
            ) from error


def load_bundle(path: str | Path) -> Bundle:
    """Open and verify a bundle.

    Parameters
    ----------
    path : str or Path
        Its folder, or a model of the registry: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

    Returns
    -------
    Bundle
        Ready for use.

    Raises
    ------
    BundleError
        If it is not a bundle, was made by a newer version, is incomplete, or a file differs from its digest.
    MissingExtraError, RegistryError
        If it is to come from the registry, and MLflow is not installed or the registry does not have it.
    """
    path = _folder(path)
    if not (path / MANIFEST).is_file():
        raise BundleError(
            f"{path} is not a model bundle: there is no {MANIFEST} in it. "
            "`galmorph export` makes a bundle from a checkpoint."
        )
    raw = _read(path / MANIFEST, LARGEST_MANIFEST)
    manifest = parse_manifest(path / MANIFEST, raw)
    for name in (MODEL, REFERENCE, STATISTICS, CARD):
        if name not in manifest.files:
            raise BundleError(f"bundle {path}: its manifest does not list {name}; export the model again")
    for name, entry in manifest.files.items():
        _verify(path, name, entry)
    return Bundle(path, manifest, hashlib.sha256(raw).hexdigest(), _read_reference(path, manifest))


def _folder(path: str | Path) -> Path:
    """The folder that is meant, of a model of the registry that of its files."""
    if not str(path).startswith("models:/"):
        return Path(path)
    # Only here: the registry opens bundles, and needs MLflow, which is optional.
    from galmorph.registry import fetch_bundle

    return fetch_bundle(path)


def _verify(path: Path, name: str, entry: FileEntry) -> None:
    """Raise unless a file of the bundle is there and has its digest."""
    if Path(name).name != name or name in (".", ".."):
        raise BundleError(f"bundle {path}: the manifest lists {name!r}, which is not a plain file name; do not use it")
    file = path / name
    if not file.is_file():
        raise BundleError(f"bundle {path}: {name} is missing; copy the bundle again, whole")
    size = file.stat().st_size
    if size != entry.size:
        raise BundleError(f"bundle {path}: {name} has {size} bytes instead of {entry.size}; copy the bundle again")
    if size > LARGEST_FILE:
        raise BundleError(f"bundle {path}: {name} has {size} bytes; at most {LARGEST_FILE} are read. Do not use it")
    digest = file_sha256(file)
    if digest != entry.sha256:
        raise BundleError(
            f"bundle {path}: {name} was changed after the export (SHA-256 {digest[:12]}…, not {entry.sha256[:12]}…). "
            "Copy the bundle again, or export the model again."
        )
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
        except zipfile.BadZipFile as error:
            raise BundleError(f"bundle {path}: {name} cannot be read ({error}); export the model again") from error
        if unpacked > LARGEST_FILE:
            raise BundleError(f"bundle {path}: {name} unpacks to {unpacked} bytes, which no model needs. Do not use it")


def _read_reference(path: Path, manifest: Manifest) -> FeatureReference:
    """Known objects in feature space, checked against the manifest."""
    try:
        with np.load(path / REFERENCE, allow_pickle=False) as arrays:
            directions = arrays["directions"].astype(np.float64)
            reference = FeatureReference(directions, float(arrays["distance"]), float(arrays["entropy"]))
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"bundle {path}: {REFERENCE} cannot be read ({error}); export the model again") from error
    shape = directions.shape
    if len(shape) != 2 or shape[1] != manifest.features:
        raise BundleError(
            f"bundle {path}: {REFERENCE} holds directions of shape {shape}; "
            f"expected {manifest.features} features of each"
        )
    if not (0 < reference.distance < np.inf and 0 < reference.entropy < np.inf and np.isfinite(directions).all()):
        raise BundleError(f"bundle {path}: {REFERENCE} holds numbers that are not finite and positive; export again")
    return reference


def _read(file: Path, limit: int) -> bytes:
    """Content of a small file."""
    if file.stat().st_size > limit:
        raise BundleError(f"{file} has {file.stat().st_size} bytes; at most {limit} are expected")
    return file.read_bytes()
