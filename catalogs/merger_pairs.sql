-- Rows that may be one of a pair in contact, for models that know no mergers; which of them lie within each other's
-- aperture is found afterwards. Stars make pairs too, so point sources are left out.
-- point_source_radius: half-light radius (arcsec) of a point source in the worst seeing.
SELECT
    object_id, ra, dec, label, confidence, entropy, unknown, anomaly_score,
    snr, radius, half_light_radius, flags, tile, x, y, cutout_side
FROM catalog
WHERE "primary"
    AND radius > 0
    AND half_light_radius > 1.2 * getvariable('point_source_radius')
    AND NOT has_flag(flags, 'MASKED')
    AND NOT has_flag(flags, 'MISSING_BAND')
    AND NOT has_flag(flags, 'SATURATED')
    AND NOT has_flag(flags, 'LOW_SN')
    AND NOT has_flag(flags, 'NOT_DETECTED')
    AND NOT has_flag(flags, 'TRUNCATED')
    AND NOT has_flag(flags, 'BAD_PHOTOMETRY')
ORDER BY object_id
