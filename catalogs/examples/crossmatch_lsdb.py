"""Rows of a catalogue within 3 arcsec of the entries of a list with the columns ra and dec (degrees).

    python crossmatch_lsdb.py RUN/catalog LIST.csv

LSDB works partition by partition, so the catalogue may be larger than memory. It comes with
`pip install 'galmorph-survey[lsdb]'`.
"""

import sys

import lsdb
import pandas as pd

RADIUS = 3.0


def main(catalog_path: str, list_path: str) -> None:
    """Print the pairs, nearest first."""
    catalog = lsdb.open_catalog(catalog_path, columns=["object_id", "ra", "dec", "label", "confidence", "primary"])
    # The side on the right needs a margin, or pairs across the border of two partitions are lost: pixels of order 10
    # are 3.4 arcmin across.
    wanted = lsdb.from_dataframe(pd.read_csv(list_path), ra_column="ra", dec_column="dec", margin_order=10)
    pairs = (
        catalog.query("primary")
        .crossmatch(wanted, radius_arcsec=RADIUS, suffixes=("_catalog", "_list"), suffix_method="all_columns")
        .compute()
    )
    columns = ["object_id_catalog", "label_catalog", "confidence_catalog", "ra_list", "dec_list", "_dist_arcsec"]
    print(pairs[columns].sort_values("_dist_arcsec").to_string(index=False))
    print(f"{len(pairs)} pairs")


if __name__ == "__main__":
    main(*sys.argv[1:])
