"""A reduced cell beside the full one under given rates and blocks: durations after rests, and waves at several spacings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.cardiac._ionic_recording import dosed
from experiments.cardiac._ionic_training import fast, single
from experiments.cardiac._paced_cables import velocities
from experiments.cardiac._paced_cells import premature_beats
from physics import CellModel, ReducedVentricular, TenTusscher2006
from twinsim.experiment import finite_or_none

PREMATURE_MS = 80.0  # the rest nearest to this is also the one before waves on cables

Measured = dict[str, np.ndarray]


@dataclass(frozen=True)
class Conditions:
    """Rates, blocks and rests, and where waves run.

    Attributes:
        cycles: Of regular pacing, ``(conditions,)``, ms.
        shares: Of two channels left open, ``(conditions, 2)``.
        rests: From 90 % repolarisation to the premature stimulus, ``(rests,)``, ms.
        beats: Regular ones before it.
        cell_dt_ms: Step of cells by themselves.
        spacings_mm: Of cables.
        premature_mm: Spacing on which premature waves run; 0 for none.
        diffusivity: mm²/ms.
        dt_ms: Step on cables.
    """

    cycles: np.ndarray
    shares: np.ndarray
    rests: np.ndarray
    beats: int
    cell_dt_ms: float
    spacings_mm: tuple[float, ...]
    premature_mm: float
    diffusivity: float
    dt_ms: float

    def of_full(self, full: TenTusscher2006) -> Measured:
        """What the full cell does."""
        return self.of(lambda shares: dosed(full, shares))

    def of_reduced(self, cell: ReducedVentricular) -> Measured:
        """What a reduced cell does."""
        written = fast(cell)
        return self.of(lambda shares: written.blocked(*jnp.asarray(shares.T)))

    def of(self, under: Callable[[np.ndarray], CellModel]) -> Measured:
        """Durations of the last regular beat and of premature ones (ms), velocities of regular waves ``(spacings, conditions)`` and of
        premature ones (m/s); ``under`` gives cells under open shares."""
        repeated = under(np.tile(self.shares, (len(self.rests), 1)))
        found = premature_beats(under(self.shares), repeated, self.cycles, self.rests, self.beats, self.cell_dt_ms)
        on_cables = single(under(self.shares))

        def waves(states: np.ndarray, spacing: float) -> np.ndarray:
            return velocities(on_cables, states.astype(np.float32), spacing, self.diffusivity, self.dt_ms)

        early = int(np.argmin(np.abs(self.rests - PREMATURE_MS)))
        measured = {"paced": found.paced, "premature": found.premature}
        measured["velocity"] = np.array([waves(found.before_paced, spacing) for spacing in self.spacings_mm])
        if self.premature_mm:
            measured["premature_velocity"] = waves(found.before_premature[:, early], self.premature_mm)
        return measured


def rms(error: np.ndarray) -> float:
    """Over what is there; NaN for nothing."""
    return float(np.sqrt(np.nanmean(error**2))) if np.isfinite(error).any() else float("nan")


def scores(name: str, found: list[Measured], truth: Measured, clean: np.ndarray, spacings: tuple[float, ...]) -> dict[str, Any]:
    """Errors against the full cell: means over trainings, and their spread where there are several."""

    def late(part: str, where: np.ndarray | slice) -> list[float]:
        return [rms((one[part] - truth[part])[..., where]) for one in found]

    def percent(part: str, of: Callable[[np.ndarray], float], where: int | slice = slice(None)) -> list[float]:
        return [100 * of((one[part][where] - truth[part][where]) / truth[part][where]) for one in found]

    def largest(error: np.ndarray) -> float:
        return float(np.nanmax(np.abs(error), initial=0.0))

    def mean(error: np.ndarray) -> float:
        return float(np.nanmean(error)) if np.isfinite(error).any() else float("nan")

    every = slice(None)
    values = {
        "restitution_rms_ms": late("premature", every),
        "restitution_rms_without_drug_ms": late("premature", clean),
        "restitution_rms_with_drug_ms": late("premature", ~clean),
        "paced_apd_rms_ms": late("paced", every),
        "velocity_rms_percent": percent("velocity", rms),
        "velocity_largest_percent": percent("velocity", largest),
        **{f"velocity_mean_percent_at_{spacing:g}_mm": percent("velocity", mean, row) for row, spacing in enumerate(spacings)},
        **{f"velocity_largest_percent_at_{spacing:g}_mm": percent("velocity", largest, row) for row, spacing in enumerate(spacings)},
        "premature_velocity_rms_percent": percent("premature_velocity", rms),
    }
    parts = ("premature", "velocity", "premature_velocity")
    lost = [int(sum((np.isnan(one[part]) & np.isfinite(truth[part])).sum() for part in parts)) for one in found]
    summary: dict[str, Any] = {f"{name}_{key}": finite_or_none(np.mean(numbers)) for key, numbers in values.items()}
    summary[f"{name}_beats_and_waves_lost"] = max(lost)
    if len(found) > 1:
        summary |= {f"{name}_{key}_spread": finite_or_none(np.std(numbers, ddof=1)) for key, numbers in values.items()}
    return summary
