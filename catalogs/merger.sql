-- Merger candidates: the summed probability of all classes that mean a merger, most probable first. A pair of galaxies in
-- contact is often deblended, so that flag is no reason to leave a row out.
-- class_columns: the probability columns of the classes that mean a merger; top: how many rows.
SELECT
    list_sum([*COLUMNS(getvariable('class_columns'))]) AS score,
    object_id, ra, dec, label, confidence, entropy, unknown, anomaly_score,
    snr, radius, half_light_radius, flags, tile, x, y, cutout_side
FROM catalog
WHERE "primary"
    AND half_light_radius > getvariable('point_source_radius')
    AND NOT has_flag(flags, 'MASKED')
    AND NOT has_flag(flags, 'MISSING_BAND')
    AND NOT has_flag(flags, 'SATURATED')
    AND NOT has_flag(flags, 'LOW_SN')
    AND NOT has_flag(flags, 'NOT_DETECTED')
    AND NOT has_flag(flags, 'TRUNCATED')
    AND NOT has_flag(flags, 'BAD_PHOTOMETRY')
ORDER BY score DESC, object_id
LIMIT getvariable('top')
