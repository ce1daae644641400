"""Settings of a mock survey's sky: how many objects, of which classes, how bright and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from galmorph.errors import ConfigError
from galmorph.taxonomy import MOCK_CLASSES

#: Share of each class among the labelled objects. Chosen for training, not to resemble the sky:
#: mergers are a few per cent of real galaxies and lenses about one in ten thousand.
DEFAULT_MIX: Mapping[str, float] = MappingProxyType(
    {
        "disturbed": 0.09,
        "merging": 0.10,
        "round_smooth": 0.11,
        "cigar_smooth": 0.09,
        "barred_spiral": 0.10,
        "tight_spiral": 0.09,
        "loose_spiral": 0.09,
        "edge_on_no_bulge": 0.08,
        "edge_on_bulge": 0.08,
        "lens": 0.10,
        "star": 0.07,
    }
)

#: Farthest from the equator that a mock may begin, degrees: rows of tiles go on to the north.
MOST_DEC = 80.0


@dataclass(frozen=True)
class MockConfig:
    """What is on the mock sky and how it is cut into tiles.

    Nothing here depends on the survey, so that one seed puts the same objects on the sky of every survey.

    Parameters
    ----------
    tile_side : float
        Side of a tile in arcsec.
    overlap : float
        Fraction of the side that neighbouring tiles share.
    density : float
        Labelled objects per square arcmin. Far above the real density of such bright galaxies (0.03),
        to fill tiles with examples.
    background_density : float
        Faint unlabelled galaxies and stars per square arcmin.
    bright_limit, faint_limit : float
        r magnitudes between which labelled galaxies lie; the default faint limit is that of the SDSS
        main galaxy sample (Strauss et al. 2002).
    counts_slope : float
        Slope s of the counts, ``dN/dm ~ 10 ** (s m)``; 0.6 is Euclidean, as found for bright galaxies
        (Yasuda et al. 2001).
    saturation : float
        AB magnitude of a star whose central pixel just saturates, in every band.
    class_mix : mapping of str to float
        Relative numbers of the labelled classes; classes left out do not occur.
    centre : tuple of float, optional
        Centre of the first tile, right ascension (modulo 360) and declination in degrees, instead of the place that
        belongs to the seed.

    Raises
    ------
    ConfigError
        If a value is out of range or a class is unknown.
    """

    tile_side: float = 270.0
    overlap: float = 0.1
    density: float = 4.0
    background_density: float = 8.0
    bright_limit: float = 14.5
    faint_limit: float = 17.77
    counts_slope: float = 0.6
    saturation: float = 14.8
    class_mix: Mapping[str, float] = field(default_factory=lambda: DEFAULT_MIX)
    centre: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        # A plain dictionary can be sent to worker processes.
        object.__setattr__(self, "class_mix", dict(self.class_mix))
        if not 60.0 <= self.tile_side <= 3600.0:
            raise ConfigError(f"tile_side must be between 60 and 3600 arcsec, got {self.tile_side}")
        if not 0.0 <= self.overlap <= 0.4:
            raise ConfigError(f"overlap must be between 0 and 0.4 of a side, got {self.overlap}")
        if not (0.0 < self.density <= 8.0 and 0.0 <= self.background_density <= 200.0):
            raise ConfigError(
                "densities must be above 0 and at most 8 (labelled) and 200 (background) per square arcmin, "
                f"got {self.density} and {self.background_density}"
            )
        if not (12.0 <= self.bright_limit < self.faint_limit <= 20.0 and 0.0 < self.counts_slope <= 2.0):
            raise ConfigError(
                "magnitudes need 12 <= bright_limit < faint_limit <= 20 and a counts_slope above 0, at most 2; "
                f"got {self.bright_limit}, {self.faint_limit}, {self.counts_slope}"
            )
        if self.centre is not None:
            object.__setattr__(self, "centre", tuple(self.centre))
            if not abs(self.centre[1]) <= MOST_DEC:
                raise ConfigError(f"the declination of centre must be within {MOST_DEC} degrees, got {self.centre[1]}")
        if not 8.0 <= self.saturation <= 20.0:
            raise ConfigError(f"saturation must be between magnitudes 8 and 20, got {self.saturation}")
        strangers = sorted(set(self.class_mix) - set(MOCK_CLASSES))
        if strangers:
            raise ConfigError(f"class_mix names {', '.join(strangers)}; mock surveys draw {', '.join(MOCK_CLASSES)}")
        if min(self.class_mix.values(), default=-1.0) < 0 or sum(self.class_mix.values()) <= 0:
            raise ConfigError("class_mix needs numbers that are not negative and not all 0")
