"""A new data release: noticed, gathered, adapted to, judged, registered, scored again and reported.

Joins the rooms, as `galmorph.pipeline` does: it may use all of them, and none of them knows it.
"""
