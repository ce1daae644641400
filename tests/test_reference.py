from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from make_bundle import files, make_bundle, manifest

from galmorph.bundle import Bundle, write_bundle
from galmorph.errors import BundleError
from galmorph.reference import SAMPLE, ReferenceSample, join_samples, read_sample, write_sample


def sample(classes: int = 4, features: int = 6) -> ReferenceSample:
    return ReferenceSample(
        np.array(["source", "target", "source"]),
        np.array(["spiral", "", "merger"]),
        np.arange(3 * classes, dtype=np.float32).reshape(3, classes),
        np.arange(3 * features, dtype=np.float32).reshape(3, features) / 4,
        pd.DataFrame({"snr": [5.0, np.nan, 7.0]}),
    )


def bundle_with(folder, content: bytes) -> Bundle:
    return write_bundle(folder / "model", manifest(["g", "r", "z"]), files(3, 16, 4) | {SAMPLE: content})


def test_what_is_written_is_read(tmp_path):
    written = sample()
    found = read_sample(bundle_with(tmp_path, write_sample(written)))
    for name in ("domain", "label", "logits", "features"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
    assert found.measured["snr"].tolist() == pytest.approx([5.0, np.nan, 7.0], nan_ok=True)
    target = found.of("target")
    assert (len(target), target.domain.tolist(), target.label.tolist()) == (1, ["target"], [""])
    assert target.logits.tolist() == [[4.0, 5.0, 6.0, 7.0]]
    assert found.of("source").measured["snr"].to_dict() == {0: 5.0, 1: 7.0}


def test_features_beyond_16_bits_are_the_largest_of_them(tmp_path):
    written = sample()
    written.features[0, :2] = 1e6, -1e6
    found = read_sample(bundle_with(tmp_path, write_sample(written)))
    assert found.features[0, :2].tolist() == [65504.0, -65504.0]


def test_what_one_sample_has_not_measured_is_nan_in_both():
    other = sample()
    both = join_samples([other, replace(other, measured=pd.DataFrame({"radius": [1.0] * 3}))])
    assert len(both) == 6
    assert both.label.tolist() == ["spiral", "", "merger"] * 2
    np.testing.assert_array_equal(both.features, np.concatenate([other.features] * 2))
    assert both.measured["radius"].tolist() == pytest.approx([np.nan] * 3 + [1.0] * 3, nan_ok=True)


def test_a_bundle_without_a_sample_has_none(tmp_path):
    assert read_sample(make_bundle(tmp_path / "model", ["g", "r", "z"])) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no Parquet", "cannot be read"),
        (write_sample(sample(classes=3)), "holds 3 logits and 6 features of each object; expected 4 and 6"),
        (write_sample(sample(features=5)), "holds 4 logits and 5 features of each object; expected 4 and 6"),
    ],
)
def test_a_sample_that_does_not_fit_is_refused(tmp_path, content, reason):
    with pytest.raises(BundleError, match=reason):
        read_sample(bundle_with(tmp_path, content))
