/* Objects that the model wavers about: known, well measured, and nearly as much one class as another. */
SELECT object_id, ra, dec, label, confidence, entropy, snr
FROM catalog
WHERE "primary"
    AND NOT unknown
    AND confidence < 0.6
    AND flags = 0
ORDER BY entropy DESC, object_id
LIMIT 100
