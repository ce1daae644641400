"""Objects that a model was made on, as it sees them: a sample in the bundle that later ones are set beside.

``reference.parquet`` has quantiles only; two-sample tests need objects. ``reference_sample.parquet`` has some of the
source's validation part and, of a model that was adapted, of the target's: logits, features (float16), the true class
where it is known, and how bright and large each object is. Bundles that were exported before have none.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from galmorph.bundle import SAMPLE, Bundle
from galmorph.errors import BundleError

#: Objects of each domain in a bundle.
ROWS = 1000

#: Largest float16: features beyond it are cut.
LARGEST = 65504.0

SOURCE, TARGET = "source", "target"


@dataclass(frozen=True)
class ReferenceSample:
    """Objects as a model sees them.

    Parameters
    ----------
    domain : ndarray of str
        ``source`` or ``target``, shape ``(n,)``.
    label : ndarray of str
        True class; empty where it is not known. Shape ``(n,)``.
    logits : ndarray of float32
        Shape ``(n, K)``.
    features : ndarray of float32
        Rounded to float16. Shape ``(n, d)``.
    measured : pandas.DataFrame
        `n` rows with those of `radius`, `snr` and `galmorph.imaging.measured_columns` that the training set had.
    """

    domain: NDArray[np.str_]
    label: NDArray[np.str_]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    measured: pd.DataFrame

    def __len__(self) -> int:
        return len(self.logits)

    def of(self, domain: str) -> "ReferenceSample":
        """The objects of one domain."""
        rows = self.domain == domain
        return ReferenceSample(
            self.domain[rows],
            self.label[rows],
            self.logits[rows],
            self.features[rows],
            self.measured[rows].reset_index(drop=True),
        )


def join_samples(parts: Sequence[ReferenceSample]) -> ReferenceSample:
    """Several samples in one; what one of them has not measured is NaN there."""
    return ReferenceSample(
        np.concatenate([part.domain for part in parts]),
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.features for part in parts]),
        pd.concat([part.measured for part in parts], ignore_index=True),
    )


def write_sample(sample: ReferenceSample) -> bytes:
    """Content of the file in a bundle."""
    features = np.clip(sample.features, -LARGEST, LARGEST).astype(np.float16)
    columns = {
        "domain": pa.array(sample.domain.tolist(), pa.string()),
        "label": pa.array(sample.label.tolist(), pa.string()),
        "logits": _lists(sample.logits.astype(np.float32)),
        "features": _lists(features),
    }
    columns |= {
        str(name): pa.array(sample.measured[name].to_numpy(dtype=np.float32), pa.float32()) for name in sample.measured
    }
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content, compression="zstd")
    return content.getvalue()


def read_sample(bundle: Bundle) -> ReferenceSample | None:
    """The sample of a bundle; None of a bundle that was exported without.

    Parameters
    ----------
    bundle : Bundle
        Loaded, so that the file has the digest that its manifest says.

    Returns
    -------
    ReferenceSample or None
        The objects.

    Raises
    ------
    BundleError
        If the file does not fit the manifest.
    """
    if SAMPLE not in bundle.manifest.files:
        return None
    try:
        table = pq.read_table(bundle.path / SAMPLE)
        logits, features = (_matrix(table.column(name)) for name in ("logits", "features"))
        domain, label = (np.array(table.column(name).to_pylist(), dtype=np.str_) for name in ("domain", "label"))
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        raise BundleError(f"bundle {bundle.path}: {SAMPLE} cannot be read ({error}); export the model again") from error
    expected = (len(bundle.manifest.classes), bundle.manifest.features)
    if (logits.shape[1], features.shape[1]) != expected:
        raise BundleError(
            f"bundle {bundle.path}: {SAMPLE} holds {logits.shape[1]} logits and {features.shape[1]} features of each "
            f"object; expected {expected[0]} and {expected[1]}. Export the model again"
        )
    measured = table.drop_columns(["domain", "label", "logits", "features"]).to_pandas()
    return ReferenceSample(domain, label, logits, features, measured)


def _lists(values: NDArray[np.floating]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of lists of one length as an array."""
    whole = column.combine_chunks()
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, dtype=np.float32).reshape(len(whole), column.type.list_size)
