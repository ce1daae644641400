"""A survey run: tiles in, scored objects out, every one accounted for."""
