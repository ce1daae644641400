import numpy as np
import pandas as pd
import pytest

from galmorph.errors import DataError
from galmorph.truth import compare, match


def positions(*pairs):
    return pd.DataFrame(pairs, columns=["ra", "dec"])


def test_match_takes_the_nearest_within_the_radius():
    rows = positions((10.0, 0.0), (10.001, 0.0), (50.0, 89.9999))
    truth = positions((10.0002, 0.0), (10.0, 0.1), (230.0, 89.9999))
    assert match(rows, truth, 2.5)[0].tolist() == [0, -1, 2]


def test_match_crosses_ra_zero():
    assert match(positions((359.9999, 5.0)), positions((0.0001, 5.0)), 2.5)[0].tolist() == [0]


def test_a_true_object_keeps_its_nearest_row():
    assert match(positions((10.0, 0.0), (10.0002, 0.0)), positions((10.00005, 0.0)), 2.5)[0].tolist() == [0]


def test_a_row_serves_one_true_object_only():
    truth = positions((10.0001, 0.0), (10.00001, 0.0))
    assert match(positions((10.0, 0.0)), truth, 2.5)[0].tolist() == [-1, 0]


def test_the_second_nearest_serves_when_the_nearest_is_taken():
    rows = positions((10.0, 0.0), (10.0004, 0.0))
    truth = positions((10.00001, 0.0), (10.00015, 0.0))
    assert match(rows, truth, 2.5)[0].tolist() == [0, 1]


def test_each_object_may_have_its_own_radius():
    truth = positions((10.001, 0.0), (20.001, 0.0))
    place, separation = match(positions((10.0, 0.0), (20.0, 0.0)), truth, np.array([1.0, 5.0]))
    assert place.tolist() == [-1, 1]
    assert separation[1] == pytest.approx(3.6)
    assert np.isnan(separation[0])


def test_compare_by_hand():
    truth = positions((1.0, 0.0), (2.0, 0.0), (3.0, 0.0), (4.0, 0.0), (5.0, 0.0)).assign(
        label=["spiral", "spiral", "elliptical", "lens", ""]
    )
    rows = positions((1.0, 0.0), (3.0, 0.0), (4.0, 0.0), (5.0, 0.0)).assign(
        label=["spiral", "spiral", "elliptical", "spiral"],
        unknown=[False, True, True, False],
        entropy=[0.1, 0.5, 0.4, 0.0],
        energy=[-5.0, -4.0, -1.0, 0.0],
        anomaly_score=[1.0, 2.0, 3.0, 0.0],
    )
    report = compare(rows, truth, ["spiral", "elliptical", "star"])
    assert (report.objects, report.detected, report.completeness) == (4, 3, 0.75)
    assert report.accuracy == 0.5
    assert report.recall == {"spiral": 0.5, "elliptical": 0.0}  # the undetected spiral counts as missed
    assert report.mean_recall == 0.25
    assert report.unknown_auroc == {"entropy": 0.5, "energy": 1.0, "anomaly_score": 1.0}
    assert (report.unknown_recall, report.false_unknown) == (1.0, 0.5)


def test_compare_names_missing_columns():
    with pytest.raises(DataError, match="label"):
        compare(positions(), positions((1.0, 0.0)), ["spiral"])
