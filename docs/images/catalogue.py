"""Pictures of the pages below docs/catalogue, made from the embedded demonstration: python docs/images/catalogue.py."""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from rich.console import Console

import galmorph
from galmorph.catalogs import check_catalog, collect, crossmatch, open_catalog, write_catalog
from galmorph.catalogs.purity import judge
from galmorph.catalogs.regions import cone
from galmorph.demo import SURVEY, data_folder
from galmorph.render import rgb
from galmorph.run_folder import draw_rows, open_run
from galmorph.tiles import read_tile

mpl.use("Agg")
from matplotlib import pyplot as plt

OUT = Path(__file__).parent / "catalogue"
PAGES = Path(__file__).parents[1] / "catalogue"
TRUTH = data_folder() / "data" / "truth.parquet"
COLOURS = {"elliptical": "#d64541", "spiral": "#3a6fb0", "edge_on": "#48a999", "merger": "#e8a33d", "star": "#8e6bbf"}
GREY, INK = "#c8ced8", "#464c5a"
#: Colours of DS9, as the region files name them.
DS9 = {"cyan": "#00ffff", "green": "#00ff00", "yellow": "#ffff00", "blue": "#4060ff", "orange": "#ffa500"} | {
    "white": "#ffffff",
    "magenta": "#ff00ff",
}


def canvas(width: float = 5.2, height: float = 4.2) -> tuple[plt.Figure, plt.Axes]:
    """Empty axes of one style."""
    figure, axes = plt.subplots(figsize=(width, height), dpi=110)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure in few colours, which keeps it small."""
    figure.tight_layout()
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    Image.open(stream).convert("RGB").quantize(64).save(OUT / name, optimize=True)
    plt.close(figure)


def query(catalog: galmorph.catalogs.Catalog) -> None:
    """Rows of a cone among all rows."""
    rows = catalog.to_pandas(["ra", "dec"])
    found = catalog.query('SELECT * FROM catalog WHERE "primary"', within=[cone(189.95, 2.5, "1arcmin")]).to_pandas()
    figure, axes = canvas(6.4, 3.0)
    axes.locator_params(axis="x", nbins=5)
    axes.scatter(rows["ra"], rows["dec"], s=9, color=GREY, label="not asked for")
    for name, colour in COLOURS.items():
        here = found[found["label"] == name]
        axes.scatter(here["ra"], here["dec"], s=16, color=colour, label=name)
    axes.set(xlabel="right ascension (deg)", ylabel="declination (deg)", aspect=1)
    axes.invert_xaxis()
    axes.ticklabel_format(useOffset=False)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, "query.png")


def candidates(catalog: galmorph.catalogs.Catalog) -> None:
    """The first lens candidates, the true ones ticked."""
    found = judge(catalog.candidates("lens", 10), TRUTH, "lens").table
    captions = [f"{row['score']:.2f}{', a lens' if row['true'] else ''}\n{row['label']}" for row in found.to_pylist()]
    draw_rows(open_run(catalog.path), found, captions, OUT / "candidates.jpg")


def similar(catalog: galmorph.catalogs.Catalog) -> None:
    """The rows that are most like a merger, which is the page's example."""
    first = catalog.candidates("merger", 1)["object_id"][0].as_py()
    assert f"--to {first} " in (PAGES / "similar.md").read_text()  # noqa: S101
    found = catalog.similar([first], top=10)
    captions = [f"{row['similarity']:.3f}\n{row['label']}" for row in found.to_pylist()]
    draw_rows(open_run(catalog.path), found, captions, OUT / "similar.jpg")


def matched(catalog: galmorph.catalogs.Catalog) -> None:
    """Separations of rows and true positions."""
    pairs = crossmatch(catalog.path, TRUTH, "2arcsec").pairs
    figure, axes = canvas(5.2, 3.0)
    axes.hist(pairs["separation"].to_numpy(), bins=np.linspace(0, 2, 41), color="#3a6fb0")
    axes.set(xlabel="separation (arcsec)", ylabel="pairs")
    save(figure, "crossmatch.png")


def regions(catalog: galmorph.catalogs.Catalog, folder: Path) -> None:
    """A part of a tile, with the circles of a region file."""
    run, file = open_run(catalog.path), folder / "objects.reg"
    tile = read_tile(run.sources[0], run.survey)
    galmorph.catalogs.export(catalog, file, where=f"tile = '{tile.name}'")
    side, scale = 420, 2
    picture = Image.fromarray(rgb(tile.image[:, :side, :side] / tile.pixel_scale**2)).resize((side * scale,) * 2)
    pen = ImageDraw.Draw(picture)
    rows = catalog.to_pandas(["ra", "dec", "x", "y", "tile"]).query("tile == @tile.name")
    for line in file.read_text().splitlines():
        if not line.startswith("circle("):
            continue
        ra, dec, radius = (float(number) for number in line[7:].split(")")[0].replace('"', "").split(","))
        row = rows.iloc[((rows["ra"] - ra) ** 2 + (rows["dec"] - dec) ** 2).argmin()]
        r, x, y = radius / tile.pixel_scale * scale, (row["x"] + 0.5) * scale, (row["y"] + 0.5) * scale
        colour = DS9[line.split("color=")[1].split()[0]]
        pen.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=2)
    picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(OUT / "export.jpg", quality=82)


def checked(catalog: galmorph.catalogs.Catalog) -> None:
    """What check says when rows stand in the wrong order; the catalogue is spoiled by this."""
    file = catalog.files[0]
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table.take(pa.array(np.random.default_rng(1).permutation(table.num_rows))), file)
    console = Console(record=True, width=100, file=io.StringIO())
    console.print("[bold]$ galmorph catalog check RUN/catalog[/bold]")
    for finding in check_catalog(catalog.path):
        can = "can be repaired" if finding.repairable else "cannot be repaired: repeat the run"
        console.print(
            f"not so: {finding.rule} ({finding.rows}; the first is {finding.example}; {can})", highlight=False
        )
    (OUT / "check.svg").write_text(console.export_svg(title="galmorph catalog check", unique_id="check"))


def margin(parts: list[Path], folder: Path, provenance: dict[str, object], like: galmorph.catalogs.Catalog) -> None:
    """Partitions of a field and the margin of one."""
    arguments = {"provenance": provenance, "classes": like.classes, "bands": like.bands, "max_rows": 40}
    opened = open_catalog(write_catalog(parts, folder / "small", **arguments))
    sky = collect({"small": opened.path}, folder / "sky", margin="10arcsec")
    figure, axes = canvas(6.4, 3.6)
    axes.locator_params(axis="x", nbins=5)
    tables = [pq.read_table(file, columns=["ra", "dec"], partitioning=None).to_pandas() for file in opened.files]
    middle = max(range(len(tables)), key=lambda number: len(tables[number]))
    for number, table in enumerate(tables):
        axes.scatter(
            table["ra"], table["dec"], s=14 if number == middle else 7, color="#122f6e" if number == middle else GREY
        )
    kept = pd.read_parquet(sky / "small.margin" / opened.files[middle].relative_to(opened.path), partitioning=None)
    axes.scatter(kept["ra"], kept["dec"], s=16, color="#d64541", label="margin of the dark partition")
    axes.set(xlabel="right ascension (deg)", ylabel="declination (deg)", aspect=1)
    axes.invert_xaxis()
    axes.ticklabel_format(useOffset=False)
    axes.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1, 1.12))
    save(figure, "collection.png")


def main() -> None:
    """Make all of them, or those that are named."""
    wanted = sys.argv[1:] or ["query", "candidates", "similar", "crossmatch", "export", "collection", "sky", "check"]
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(BrokenPipeError):
        run = Path(name) / "run"
        tiles, model = data_folder() / "data" / "tiles", data_folder() / "model"
        catalog = galmorph.classify(tiles, SURVEY, model, run, embedding=True).catalog
        makers = {
            "query": lambda: query(catalog),
            "candidates": lambda: candidates(catalog),
            "similar": lambda: similar(catalog),
            "crossmatch": lambda: matched(catalog),
            "export": lambda: regions(catalog, run),
            "collection": lambda: margin(sorted(run.glob("parts/*.parquet")), run, dict(catalog.provenance), catalog),
            "sky": lambda: catalog.draw_sky(OUT / "sky.png"),
            "check": lambda: checked(catalog),
        }
        for one in wanted:
            makers[one]()


if __name__ == "__main__":
    main()
