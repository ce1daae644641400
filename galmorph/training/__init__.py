"""Training: labelled cutouts in, a model bundle out.

Nothing heavy is imported here: take `train` from `galmorph.training.fit`, `export` from `galmorph.training.export`
and `evaluate` from `galmorph.training.evaluate`. None of them imports a survey run or a catalogue.
"""
