"""Rows such as a survey run leaves in its parts: two overlapping tiles per field, here and there on the sky."""

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = ("elliptical", "spiral", "edge_on", "merger", "star")
BANDS = ("g", "r", "z")
SIDE = 600.0  # arcsec
OVERLAP = 60.0  # arcsec
#: Centres of fields whose tiles overlap: an ordinary place, across RA 0, at the poles.
FIELDS = {"plain": (150.1, 2.2), "wrap": (359.99, -30.0), "north": (10.0, 89.99), "south": (200.0, -89.99)}


def _offset(centre: tuple[float, float], east: np.ndarray, north: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions at tangent-plane offsets (arcsec) from a centre (degrees), exact at the poles and across RA 0."""
    ra0, dec0 = np.radians(centre)
    xi, eta = np.radians(east / 3600), np.radians(north / 3600)
    ra = ra0 + np.arctan2(xi, np.cos(dec0) - eta * np.sin(dec0))
    z = (np.sin(dec0) + eta * np.cos(dec0)) / np.sqrt(1 + xi**2 + eta**2)
    return np.degrees(ra) % 360 % 360, np.degrees(np.arcsin(z))


def make_field(
    name: str, n: int, seed: int, classes: Sequence[str] = CLASSES, bands: Sequence[str] = BANDS, embedding: int = 0
) -> dict[str, pa.Table]:
    """Rows of two tiles, side by side with an overlap, that saw the same `n` objects per field with a small scatter."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    width = 2 * SIDE - OVERLAP
    east, north = rng.uniform(-width / 2, width / 2, n), rng.uniform(-SIDE / 2, SIDE / 2, n)
    truth = {
        "mag": 23.5 - rng.exponential(1.2, n),
        "colour": rng.normal(0.6, 0.3, (n, len(bands))),
        "size": rng.lognormal(0.3, 0.5, n),
        "logits": rng.normal(0, 2.5, (n, len(classes))),
        "angle": rng.uniform(0, 180, n),
        "q": rng.uniform(0.2, 1, n),
    }
    tiles = {}
    for letter, middle in (("a", -(SIDE - OVERLAP) / 2), ("b", (SIDE - OVERLAP) / 2)):
        seen = np.flatnonzero(np.abs(east - middle) < SIDE / 2)
        scattered = east[seen] + rng.normal(0, 0.05, len(seen)), north[seen] + rng.normal(0, 0.05, len(seen))
        offsets = scattered[0] - middle, scattered[1]
        ra, dec = _offset(FIELDS[name], *scattered)
        tile = f"{name}-{letter}"
        tiles[tile] = _rows(
            rng, tile, ra, dec, offsets, {k: v[seen] for k, v in truth.items()}, classes, bands, embedding
        )
    return tiles


def _rows(rng, tile, ra, dec, offsets, truth, classes, bands, embedding) -> pa.Table:
    n = len(ra)
    flux = 10 ** (-0.4 * (truth["mag"][:, None] - 22.5)) * 10 ** (0.4 * truth["colour"])
    error = np.full_like(flux, 0.15)
    logits = truth["logits"] + rng.normal(0, 0.05, truth["logits"].shape)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(p)).sum(axis=1)
    edge = SIDE / 2 - np.maximum(np.abs(offsets[0]), np.abs(offsets[1]))
    side = np.clip(6 * truth["size"], 10, 80)
    bad = np.where(rng.random(n) < 0.1, rng.random(n), 0.0)
    flags = (edge < side / 2) * 1 + (bad > 0.05) * 2 + (rng.random(n) < 0.02) * 16
    columns = {
        "object_id": (zlib.crc32(tile.encode()) << 24) + np.arange(n),
        "source_id": np.full(n, ""),
        "ra": ra,
        "dec": dec,
        "survey": np.full(n, "mock-decals"),
        "release": np.full(n, "1"),
        "tile": np.full(n, tile),
        "number": np.arange(1, n + 1),
        "x": (offsets[0] + SIDE / 2) / 0.262,
        "y": (offsets[1] + SIDE / 2) / 0.262,
        "radius": 2.5 * truth["size"],
        "half_light_radius": truth["size"],
        "ellipticity": 1 - truth["q"],
        "position_angle": truth["angle"],
        **{f"flux_{band}": flux[:, i] for i, band in enumerate(bands)},
        **{f"flux_err_{band}": error[:, i] for i, band in enumerate(bands)},
        "snr": np.sqrt((flux**2 / error**2).sum(axis=1)),
        "flags": flags,
        "bad_fraction": bad,
        "off_edge_fraction": np.clip(0.5 - edge / side, 0, 1),
        "edge_distance": edge,
        "cutout_side": side,
        **{f"p_{name}": p[:, i] for i, name in enumerate(classes)},
        "label": np.array(classes)[p.argmax(axis=1)],
        "confidence": p.max(axis=1),
        "entropy": entropy,
        "energy": -np.log(np.exp(logits).sum(axis=1)),
        "unknown": entropy > 0.9,
        "anomaly_score": rng.lognormal(0, 0.3, n) + entropy / 2,
        "model": np.full(n, "test-model"),
    }
    table = pa.table(columns)
    if embedding:
        values = pa.array(rng.normal(size=n * embedding).astype(np.float16))
        table = table.append_column("embedding", pa.FixedSizeListArray.from_arrays(values, embedding))
    return table


def write_parts(
    folder: Path, n: int = 300, seed: int = 1, fields: Sequence[str] = tuple(FIELDS), **kwargs
) -> list[Path]:
    """Parts of the tiles of some fields, as Parquet files; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for field in fields:
        for tile, table in make_field(field, n, seed, **kwargs).items():
            paths.append(folder / f"{tile}.parquet")
            pq.write_table(table, paths[-1])
    return paths
