"""``galmorph catalog similar``: more like this."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from galmorph.catalogs import Catalog, open_catalog, write_table
from galmorph.catalogs.output import format_of
from galmorph.cli.catalog.options import Format, Output
from galmorph.errors import CatalogError


def similar(
    catalog: Path,
    /,
    *,
    to: list[int] | None = None,
    to_image: Path | None = None,
    to_list: Path | None = None,
    model: Path | None = None,
    survey: str | None = None,
    radius: str = "3arcsec",
    top: int = 20,
    approximate: bool = False,
    mosaic: Path | None = None,
    format: Format = None,  # noqa: A002
    output: Output = None,
) -> None:
    """List the objects that look most like examples, in the space of the model's features, best first.

    Parameters
    ----------
    catalog
        Folder of a catalogue that keeps embeddings (galmorph classify --embedding).
    to
        Object id of an example; may be given many times.
    to_image
        Image whose central object is the example, as a tile of the survey; needs --model.
    to_list
        Table of positions of examples.
    model
        Folder of the model bundle that the catalogue was made with.
    survey
        Profile that reads the image; the run's by default.
    radius
        Largest separation of a position of the list from its row.
    top
        How many, at most.
    approximate
        Look into an index beside the catalogue (made the first time), in place of every embedding: for more than ten
        million rows.
    mosaic
        Picture to write of what is found, from the tiles of the run.
    """
    chosen = format or format_of(output)
    opened = open_catalog(catalog)
    features = None if to_image is None else _features(opened, to_image, model, survey)
    found = opened.similar(
        to or (), positions=to_list, features=features, top=top, radius=radius, approximate=approximate
    )
    if mosaic is not None:
        from galmorph.run_folder import draw_rows, open_run

        captions = [f"{rank}: {row['similarity']:.3f}\n{row['label']}" for rank, row in enumerate(found.to_pylist(), 1)]
        draw_rows(open_run(catalog), found, captions, mosaic)
    write_table(found, chosen, output)


def _features(catalog: Catalog, image: Path, model: Path | None, survey: str | None) -> NDArray[np.float32]:
    """Features of an image, by the model that the catalogue was made with."""
    from galmorph.bundle import load_bundle
    from galmorph.detection import DetectionConfig
    from galmorph.run_folder import features_of_image, open_run
    from galmorph.surveys import load_survey

    if model is None:
        raise CatalogError("an image as example needs the model that made the catalogue: give its folder with --model")
    bundle = load_bundle(model)
    if bundle.sha256 != catalog.provenance.get("model_sha256"):
        raise CatalogError(
            f"{model} is not the model that the catalogue was made with ({catalog.provenance.get('model')}): features "
            "of different models say nothing of likeness"
        )
    precision = catalog.provenance.get("precision", "float32")
    if survey is not None:
        return features_of_image(image, bundle, load_survey(survey), DetectionConfig(), precision=precision)
    run = open_run(catalog.path)
    return features_of_image(image, bundle, run.survey, run.detection, precision=precision)
