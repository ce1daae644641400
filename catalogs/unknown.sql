-- What the model calls unknown, the strangest first, without what a defect of the image explains.
-- top: how many rows.
SELECT
    anomaly_score AS score,
    object_id, ra, dec, label, confidence, entropy, unknown, anomaly_score,
    snr, radius, half_light_radius, flags, tile, x, y, cutout_side
FROM catalog
WHERE "primary"
    AND unknown
    AND isfinite(anomaly_score)
    AND NOT has_flag(flags, 'EDGE')
    AND NOT has_flag(flags, 'MASKED')
    AND NOT has_flag(flags, 'MISSING_BAND')
    AND NOT has_flag(flags, 'SATURATED')
    AND NOT has_flag(flags, 'LOW_SN')
    AND NOT has_flag(flags, 'TRUNCATED')
ORDER BY score DESC, object_id
LIMIT getvariable('top')
