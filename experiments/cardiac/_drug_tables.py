"""The table of the CiPA drugs as arrays, and samples within the error of what was measured of them."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from physics import CHANNELS

FOLDER = Path(__file__).parent / "drugs"
BINDING = ("Kmax", "Ku", "n", "halfmax", "Vhalf")
TRAPPING = 3.5e-5  # 1/ms, of every drug
CATEGORIES = ("high", "intermediate", "low")


@dataclass(frozen=True)
class Drug:
    """What is known of one drug.

    Attributes:
        name: In small letters.
        group: ``training`` or ``validation``.
        category: Clinical risk of torsade de pointes.
        concentration: Free, at the largest clinical dose, nmol/L.
        values: Numbers in the order of :func:`columns`.
        deviations: Standard deviation of the logarithm of each number that has one, in the same order; None where none are published.
    """

    name: str
    group: str
    category: str
    concentration: float
    values: np.ndarray
    deviations: np.ndarray | None

    def sampled(self, count: int, seed: int = 0) -> np.ndarray:
        """Rows like ``values`` within the error of measurement, ``(count, numbers)``: log-normal, each IC50 by itself.

        Raises:
            ValueError: No errors are published for this drug.
        """
        if self.deviations is None:
            raise ValueError(f"got {self.name}; expected a drug with published errors; do: use a training drug")
        normal = np.random.default_rng(seed).standard_normal((count, len(self.values)))
        return self.values * np.exp(self.deviations * normal)


def columns() -> tuple[str, ...]:
    """Names of the numbers of a drug: its binding to hERG, then IC50 and Hill coefficient by channel; hERG has no pore block here."""
    return (*BINDING, *(f"{channel}_{kind}" for channel in CHANNELS for kind in ("IC50", "h") if channel != "IKr"))


def drugs() -> dict[str, Drug]:
    """All of them by name, in the order of the table."""
    with (FOLDER / "cipa.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["drug"]: Drug(row["drug"], row["set"], row["category"], float(row["cmax_nm"]), np.array(_numbers(row)), _deviations(row))
        for row in rows
    }


def _numbers(row: dict[str, str]) -> list[float]:
    """A channel without numbers is never blocked: IC50 infinite, Hill coefficient one."""
    empty = {name: 1.0 if name.endswith("_h") else math.inf for name in columns()}
    return [float(row[name]) if row[name] else empty[name] for name in columns()]


def _deviations(row: dict[str, str]) -> np.ndarray | None:
    """Of the logarithms: a change of hERG's affinity by a factor is one of EC by its n-th power; the other numbers are held."""
    if not row["hERG_sd"]:
        return None
    found = dict.fromkeys(columns(), 0.0)
    found["halfmax"] = float(row["n"]) * float(row["hERG_sd"])
    found |= {f"{channel}_IC50": float(row[f"{channel}_sd"] or 0) for channel in CHANNELS if channel != "IKr"}
    return np.array(list(found.values()))
