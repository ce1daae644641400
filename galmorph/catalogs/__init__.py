"""The catalogue: written in HATS layout, opened and asked questions.

`galmorph.catalogs.write` writes one from the parts of a run, `galmorph.catalogs.catalog` opens one; they are imported
where they are needed, since each brings heavy libraries.
"""
