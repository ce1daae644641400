/* Median colour and size of each class, where both fluxes are well measured. */
SELECT
    label,
    count(*) AS n,
    median(-2.5 * log10(flux_g / flux_r)) AS g_minus_r,
    median(half_light_radius) AS half_light_radius
FROM catalog
WHERE "primary"
    AND NOT unknown
    AND flux_g > 5 * flux_err_g
    AND flux_r > 5 * flux_err_r
GROUP BY label
ORDER BY n DESC, label
