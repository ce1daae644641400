import numpy as np
import pytest
from hats.io.paths import pixel_catalog_file
from hats.pixel_math.healpix_pixel import HealpixPixel
from hypothesis import given
from hypothesis import strategies as st

from galmorph.catalogs.partitions import Partition, partition

LAST = 12 * 4**29 - 1


@given(st.lists(st.integers(0, LAST), max_size=60), st.integers(1, 10))
def test_every_row_lies_in_its_pixel_and_no_pixel_holds_too_many(pixels, max_rows):
    healpix = np.sort(np.array(pixels, dtype=np.int64))
    found = partition(healpix, max_rows)
    if not pixels:
        assert found == [Partition(0, 0, 0, 0)]
        return
    assert [piece.start for piece in found] == [0, *(piece.stop for piece in found[:-1])]
    assert found[-1].stop == len(healpix)
    for piece in found:
        rows = healpix[piece.start : piece.stop]
        assert set(rows >> 2 * (29 - piece.order)) == {piece.pixel}
        assert 0 < len(rows) <= max_rows or piece.order == 29
        if piece.order > 0:  # no larger pixel would have done
            parent = healpix >> 2 * (30 - piece.order) == piece.pixel >> 2
            assert parent.sum() > max_rows


def test_rows_that_nothing_parts_stay_together():
    assert partition(np.full(5, LAST), 2) == [Partition(29, LAST, 0, 5)]


@pytest.mark.parametrize(("order", "pixel"), [(0, 11), (7, 12345), (29, LAST)])
def test_paths_are_those_of_hats(order, pixel):
    expected = pixel_catalog_file("catalog", HealpixPixel(order, pixel))
    assert f"catalog/{Partition(order, pixel, 0, 1).relative_path}" in str(expected)
