"""Series of tumour volumes from clinical trials."""

import ast
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twinsim.data import locate
from twinsim.errors import InputError

SMALLEST_MM = 5.0
VOLUME_PER_CUBE = 0.52  # of the file: volume = 0.52 diameter^3


@dataclass(frozen=True)
class TumourSeries:
    """One lesion.

    Attributes:
        lesion: Its code.
        arm: Arm of the study.
        days: Of the readings, since therapy started.
        volumes: mm^3; 0 for a lesion that could not be seen.
    """

    lesion: str
    arm: str
    days: np.ndarray
    volumes: np.ndarray

    def __post_init__(self) -> None:
        """Refuses readings out of order, volumes that are negative or not finite, columns of different length."""
        where = f"lesion {self.lesion[:8]}"
        if self.days.shape != self.volumes.shape or self.days.size < 2:
            raise InputError(
                got=f"{where}: {self.days.size} days, {self.volumes.size} volumes", expected="two or more pairs", do="drop the series"
            )
        if (np.diff(self.days) <= 0).any():
            raise InputError(got=f"{where}: days {self.days.tolist()}", expected="days in ascending order", do="sort or drop the series")
        if not np.isfinite(self.volumes).all() or (self.volumes < 0).any():
            raise InputError(
                got=f"{where}: a volume of {self.volumes.min():g} mm^3", expected="finite volumes, 0 or more", do="drop the series"
            )

    @property
    def logarithms(self) -> np.ndarray:
        """log10 of the volumes in mm^3, not below that of the smallest diameter that trials measure (5 mm, 65 mm^3)."""
        return np.log10(np.maximum(self.volumes, VOLUME_PER_CUBE * SMALLEST_MM**3))


def read_tumour_series(path: Path | None = None) -> tuple[list[TumourSeries], int]:
    """All usable series of the data set `human_volume`, and how many were dropped because their days are out of order or repeated."""
    found, dropped = [], 0
    with (path or locate("human_volume") / "patient_data.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            days, volumes = (np.array(ast.literal_eval(row[name]), dtype=float) for name in ("T_days", "Lesion_vol"))
            if (np.diff(days) <= 0).any():
                dropped += 1
                continue
            found.append(TumourSeries(row["Pt_hashID"], row["Study_Arm"], days, volumes))
    return found, dropped


def nearest_whole_mm(logarithms: np.ndarray) -> np.ndarray:
    """log10 volumes moved to those of the nearest whole diameter in mm, which is what a reading can be."""
    diameter = np.maximum(np.round((10.0**logarithms / VOLUME_PER_CUBE) ** (1 / 3)), SMALLEST_MM)
    return np.log10(VOLUME_PER_CUBE * diameter**3)
