-- Strong-lens candidates of a model that knows the class lens, most probable first.
-- class_columns: the probability columns of the classes that mean a lens; top: how many rows. redder_than, if it is set: the
-- least colour (mag) between the bluest band (blue_column) and the reddest (red_column).
WITH coloured AS (
    SELECT *,
        list_sum([*COLUMNS(getvariable('blue_column'))]) AS blue,
        list_sum([*COLUMNS(getvariable('red_column'))]) AS red
    FROM catalog
)
SELECT
    list_sum([*COLUMNS(getvariable('class_columns'))]) AS score,
    object_id, ra, dec, label, confidence, entropy, unknown, anomaly_score,
    snr, radius, half_light_radius, flags, tile, x, y, cutout_side,
    colour(blue, red) AS colour
FROM coloured
WHERE "primary"
    AND NOT has_flag(flags, 'MASKED')
    AND NOT has_flag(flags, 'MISSING_BAND')
    AND NOT has_flag(flags, 'SATURATED')
    AND NOT has_flag(flags, 'LOW_SN')
    AND NOT has_flag(flags, 'NOT_DETECTED')
    AND NOT has_flag(flags, 'TRUNCATED')
    AND NOT has_flag(flags, 'BAD_PHOTOMETRY')
    AND (getvariable('redder_than') IS NULL OR colour(blue, red) > getvariable('redder_than'))
ORDER BY score DESC, object_id
LIMIT getvariable('top')
