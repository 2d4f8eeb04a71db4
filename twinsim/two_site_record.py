"""Recordings of one pulse at two places of an artery."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinsim.errors import InputError

SHORTEST_SECONDS = 3.0
SLOWEST_HZ, FASTEST_HZ = 50.0, 10_000.0


@dataclass(frozen=True, eq=False)
class TwoSiteRecord:
    """What was recorded at the same moments.

    Attributes:
        name: Of the recording.
        rate_hz: Samples per second.
        proximal: Nearer to the heart, ``(samples,)``, in whatever unit the recorder wrote.
        distal: Further away.
    """

    name: str
    rate_hz: float
    proximal: np.ndarray
    distal: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """s, from the first sample."""
        return np.arange(len(self.proximal)) / self.rate_hz


def read_two_sites(path: str | Path) -> TwoSiteRecord:
    """Reads a MATLAB file with ``signal``, two columns with the proximal one first, and ``f``, samples per second: the layout of the test
    data of TTAlgorithm (Gaddum et al. 2013, Ann. Biomed. Eng. 41, 2617).

    Raises:
        InputError: No such file, no MATLAB file, another layout, samples that are not finite, a rate outside of 50 to 10,000 Hz, less than
            3 s, or a site that stands still.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(path)
    layout = "a MATLAB file with signal, of two columns, and f, samples per second"
    if not path.is_file():
        raise InputError(f"no file {path}", layout, "correct the path")
    try:
        content = loadmat(path)
    except (MatReadError, NotImplementedError, ValueError, IndexError, OSError) as error:
        raise InputError(
            f"{path.name}, which does not open ({type(error).__name__})", layout, "save it as MATLAB version 5 to 7"
        ) from error
    missing = [name for name in ("signal", "f") if name not in content]
    if missing:
        raise InputError(f"{path.name} without {', '.join(missing)}", layout, "save both under these names")
    signal, rate = np.asarray(content["signal"], float), np.asarray(content["f"], float).ravel()
    if signal.ndim != 2 or 2 not in signal.shape or rate.size != 1:
        raise InputError(f"{path.name} with signal {signal.shape} and {rate.size} rates", layout, "keep two sites and one rate")
    columns = signal if signal.shape[1] == 2 else signal.T
    return two_sites(path.stem, float(rate[0]), columns[:, 0], columns[:, 1])


def two_sites(name: str, rate_hz: float, proximal: np.ndarray, distal: np.ndarray) -> TwoSiteRecord:
    """A checked record.

    Raises:
        InputError: See :func:`read_two_sites`.
    """
    if not SLOWEST_HZ <= rate_hz <= FASTEST_HZ:
        raise InputError(f"{name} with {rate_hz:g} samples per second", f"{SLOWEST_HZ:g} to {FASTEST_HZ:g}", "give the rate in Hz")
    if len(proximal) != len(distal) or len(proximal) < SHORTEST_SECONDS * rate_hz:
        raise InputError(
            f"{name} with {len(proximal)} and {len(distal)} samples", f"as many at both, {SHORTEST_SECONDS:g} s or more", "record longer"
        )
    for place, values in (("proximal", proximal), ("distal", distal)):
        if not np.isfinite(values).all():
            raise InputError(f"{name} with gaps at the {place} site", "finite samples", "cut out a stretch without gaps")
        if np.ptp(values) == 0:
            raise InputError(f"{name}, whose {place} site stands still", "a pulse at both", "choose another recording")
    return TwoSiteRecord(name, rate_hz, np.asarray(proximal, float), np.asarray(distal, float))
