import math
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from make_rows import CLASSES

from galmorph.catalogs import query
from galmorph.catalogs.info import count_rows


def test_centre_extent_and_area_are_those_of_the_rows(catalog):
    counted = count_rows(catalog.files, CLASSES)
    frame = catalog.to_pandas()
    places = SkyCoord(frame["ra"], frame["dec"], unit="deg")
    mean = SkyCoord(places.cartesian.mean(), frame="icrs", representation_type="unitspherical")
    assert counted["centre"] == pytest.approx([mean.ra.deg, mean.dec.deg], abs=1e-6)
    assert counted["extent"] == pytest.approx(places.separation(mean).deg.max(), abs=1e-6)
    pixels = len(np.unique(frame["_healpix_29"].to_numpy() >> 38))
    assert counted["area"] == pytest.approx(pixels * 4 * 180**2 / math.pi / (12 * 4**10))


def test_many_rows_are_counted_in_little_memory(catalog, tmp_path, monkeypatch):
    """Three million rows, in a session that cannot hold as many positions."""
    table = pq.read_table(catalog.files[0], partitioning=None)
    columns = [name for name in table.column_names if not name.startswith(("flux", "p_"))]
    many = pa.concat_tables([table.select(columns)] * (100_000 // table.num_rows + 1))
    pq.write_table(many, tmp_path / "many.parquet", row_group_size=10_000)
    monkeypatch.setattr(query, "run_query", partial(query.run_query, memory="60MB"))
    counted = count_rows([tmp_path / "many.parquet"] * 30, CLASSES)
    assert counted["rows"] == 30 * many.num_rows > 3_000_000
    assert sum(counted["classes"].values()) + counted["unknown"] == counted["primary"]
    assert counted["extent"] == pytest.approx(count_rows(catalog.files[:1], CLASSES)["extent"], abs=1e-6)
