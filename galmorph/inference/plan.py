"""What a survey will take, told from a sample of its tiles that went the whole way."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from galmorph.errors import RunError
from galmorph.surveys import TileSource

#: Most that sampled tiles may differ, as a share of the prediction, before a larger sample is advised.
FAIR = 0.25


def file_bytes(source: TileSource) -> int:
    """Bytes of a tile's files on disk, of a stripe its share of them; those that cannot be seen count nothing."""
    total = sum(map(_size, source.files))
    return total if source.stripe is None else round(total * source.stripe.share)


def all_file_bytes(sources: Sequence[TileSource]) -> int:
    """Bytes of the files of tiles, each file once: stripes of one tile share theirs."""
    return sum(_size(path) for path in {path for source in sources for path in source.files})


def _size(path: Path) -> int:
    """Bytes of a file; none of one that cannot be seen."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def choose_sample(sources: Sequence[TileSource], count: int) -> list[TileSource]:
    """Tiles that stand for all: evenly spaced among them, from the smallest to the largest.

    Parameters
    ----------
    sources : sequence of TileSource
        All tiles.
    count : int
        How many to choose; all when there are not more.

    Returns
    -------
    list of TileSource
        Sorted by name; the same for any order of `sources`.
    """
    if count < 1:
        raise RunError(f"the sample must have at least 1 tile, got {count}")
    ordered = sorted(sources, key=lambda source: (file_bytes(source), source.name))
    if count >= len(ordered):
        chosen = ordered
    else:
        chosen = [ordered[int((i + 0.5) * len(ordered) / count)] for i in range(count)]
    return sorted(chosen, key=lambda source: source.name)


@dataclass(frozen=True)
class Done:
    """A tile of the sample, as it was finished.

    Parameters
    ----------
    at : float
        Seconds since the run of the sample began.
    bytes : int
        Of its files.
    work : float
        Seconds in which it was worked on, waiting apart.
    """

    at: float
    bytes: int
    work: float


@dataclass(frozen=True)
class Measurement:
    """What a run of the sample took.

    Parameters
    ----------
    workers, threads : int
        Worker processes, and cores that each used.
    in_progress : int
        Tiles that were in progress at once.
    files : float
        Seconds in which the files were read to know them.
    file_bytes : int
        Of these files, each once.
    seconds : float
        Of the whole run of the sample, its catalogue apart.
    done : list of Done
        Its tiles, in the order in which they were finished.
    objects, disk : int
        Objects found, and bytes of the run folder, its catalogue apart.
    disk_once : int
        Those of them that do not grow with the tiles: positions outside of all.
    memory : int
        Most bytes that a worker process held.
    catalogue, catalogue_per_object : float
        Seconds that the catalogue took, and that each further object adds.
    catalogue_disk, catalogue_disk_per_object : float
        Bytes of the catalogue, and those that each further object adds.
    """

    workers: int
    threads: int
    in_progress: int
    files: float
    file_bytes: int
    seconds: float
    done: list[Done] = field(default_factory=list)
    objects: int = 0
    disk: int = 0
    disk_once: int = 0
    memory: int = 0
    catalogue: float = 0.0
    catalogue_per_object: float = 0.0
    catalogue_disk: float = 0.0
    catalogue_disk_per_object: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Prediction for a survey on machines like this one.

    Parameters
    ----------
    tiles, bytes : int
        Of the survey.
    sampled : int
        Tiles that were measured.
    workers, threads : int
        Worker processes that the times are for, and cores of each.
    serial : float
        Seconds that no worker shortens: start, knowing the files, catalogue.
    work : float
        Seconds that one worker would need for the tiles.
    spread : float
        Uncertainty of `work` from how the sampled tiles differ, as a share of it (two standard errors).
    objects, disk, memory : int
        Objects; bytes of the run folder with its catalogue; most bytes of a worker.
    """

    tiles: int
    bytes: int
    sampled: int
    workers: int
    threads: int
    serial: float
    work: float
    spread: float
    objects: int
    disk: int
    memory: int

    def seconds(self, workers: int | None = None) -> float:
        """Seconds that the survey takes with a number of workers; by default that of the measurement."""
        used = min(self.workers if workers is None else workers, self.tiles)
        return self.serial + self.work / max(1, used)

    def core_hours(self, workers: int | None = None) -> float:
        """Core-hours that are occupied meanwhile."""
        count = self.workers if workers is None else workers
        return count * self.threads * self.seconds(count) / 3600

    def workers_for(self, deadline: float) -> int:
        """Least number of workers with which the survey is done in time.

        Parameters
        ----------
        deadline : float
            Seconds.

        Raises
        ------
        RunError
            If no number of workers is enough.
        """
        left = deadline - self.serial
        if left > 0 and (count := max(1, math.ceil(self.work / left))) <= self.tiles:
            return count
        raise RunError(
            f"no number of workers is enough for {deadline:.0f} s: starting, knowing the files and writing the "
            f"catalogue take {self.serial:.0f} s, and a tile {self.work / self.tiles:.0f} s. Divide the tiles among "
            "several run folders, or allow more time"
        )


def predict(measured: Measurement, sources: Sequence[TileSource]) -> Plan:
    """Extrapolate a measurement of a sample to a survey.

    Time and disk go with the bytes of the tiles, knowing the files with those of the files, each once. The first tiles
    of each worker, which wait for the start of everything, tell what is fixed; the others how fast the work goes on.

    Parameters
    ----------
    measured : Measurement
        Of a sample.
    sources : sequence of TileSource
        All tiles.

    Raises
    ------
    RunError
        If no tile of the sample was finished.
    """
    done = measured.done
    sampled = sum(tile.bytes for tile in done)
    if not done or not sampled:
        raise RunError("no tile of the sample could be measured; look at the reasons with: galmorph surveys check")
    total = sum(map(file_bytes, sources))
    per_byte = _seconds_per_byte(measured)
    share = total / sampled
    files = measured.files * all_file_bytes(sources) / measured.file_bytes
    objects = measured.objects * share
    start = max(0.0, measured.seconds - measured.files - per_byte * sampled)
    more = max(0.0, objects - measured.objects)
    catalogue = measured.catalogue + measured.catalogue_per_object * more
    catalogue_disk = measured.catalogue_disk + measured.catalogue_disk_per_object * more
    return Plan(
        tiles=len(sources),
        bytes=total,
        sampled=len(done),
        workers=measured.workers,
        threads=measured.threads,
        serial=start + files + catalogue,
        work=per_byte * measured.workers * total,
        spread=_spread(done),
        objects=round(objects),
        disk=round((measured.disk - measured.disk_once) * share + measured.disk_once + catalogue_disk),
        memory=measured.memory,
    )


def _seconds_per_byte(measured: Measurement) -> float:
    """Wall time for a byte with all workers at work, from the tiles after the first that were in progress."""
    done = measured.done
    first = min(measured.in_progress, len(done) - 1)
    later = sum(tile.bytes for tile in done[first:])
    if first and later:
        return (done[-1].at - done[first - 1].at) / later
    # A sample too small for that: as if nothing were fixed.
    return (measured.seconds - measured.files) / sum(tile.bytes for tile in done)


def _spread(done: Sequence[Done]) -> float:
    """Two standard errors of the work for a byte, as a share of it: of a ratio of means (Cochran 1977, §6.4)."""
    if len(done) < 2 or not (work := sum(tile.work for tile in done)):
        return math.inf
    ratio = work / sum(tile.bytes for tile in done)
    residuals = [tile.work - ratio * tile.bytes for tile in done]
    variance = sum(residual**2 for residual in residuals) / (len(done) - 1)
    return 2 * math.sqrt(variance / len(done)) / statistics.fmean(tile.work for tile in done)
