-- Strong-lens candidates of a model that has never seen one: among what it calls unknown, the strangest first, then the
-- strangest of the rest. Artefacts are strange too, so rows that any defect touches are left out, and so are point sources.
-- The deflector is most often a red galaxy: redder_than, if it is set, is the least colour (mag) between the bluest band
-- (blue_column) and the reddest (red_column).
-- point_source_radius: half-light radius (arcsec) of a point source in the worst seeing; top: how many rows.
WITH coloured AS (
    SELECT *,
        list_sum([*COLUMNS(getvariable('blue_column'))]) AS blue,
        list_sum([*COLUMNS(getvariable('red_column'))]) AS red
    FROM catalog
)
SELECT
    anomaly_score AS score,
    object_id, ra, dec, label, confidence, entropy, unknown, anomaly_score,
    snr, radius, half_light_radius, flags, tile, x, y, cutout_side,
    colour(blue, red) AS colour
FROM coloured
WHERE "primary"
    AND isfinite(anomaly_score)
    AND snr >= 20  -- an arc is a small part of the light
    AND half_light_radius > 1.2 * getvariable('point_source_radius')
    AND NOT has_flag(flags, 'EDGE')
    AND NOT has_flag(flags, 'MASKED')
    AND NOT has_flag(flags, 'MISSING_BAND')
    AND NOT has_flag(flags, 'SATURATED')
    AND NOT has_flag(flags, 'SIZE_LIMITED')
    AND NOT has_flag(flags, 'NOT_DETECTED')
    AND NOT has_flag(flags, 'TRUNCATED')
    AND NOT has_flag(flags, 'BAD_PHOTOMETRY')
    AND (getvariable('redder_than') IS NULL OR colour(blue, red) > getvariable('redder_than'))
ORDER BY unknown DESC, score DESC, object_id
LIMIT getvariable('top')
