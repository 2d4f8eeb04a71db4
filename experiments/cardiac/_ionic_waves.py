"""Waves of the full cell that a reduced one is to have at every spacing: how thick a front is shows in how voxels hold it back."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from experiments.cardiac._ionic_recording import Recorded, cables, dosed
from experiments.cardiac._paced_cables import velocities
from physics import ReducedVentricular, TenTusscher2006
from solvers import SimulationError
from twinsim.precision import in_precision

SPACINGS_MM = (0.1, 0.25)  # of the cables; whoever fits one alone gets a front of any thickness, and the velocity there only
PERCENT, LARGE_PERCENT = 0.4, 8.0  # what counts as an error of one, and from where on errors count like roots
LINES = 6  # cables at each spacing


@dataclass(frozen=True)
class Waves:
    """Velocities on cables that stand where one cell stood when its stimulus came.

    Attributes:
        lines: Cell and beat of every cable, ``(lines, 2)``.
        shares: Open shares of two channels on them, ``(lines, 2)``.
        wanted: Of the full cell, ``(spacings, lines)``, m/s.
        diffusivity: mm²/ms.
        dt_ms: Step.
    """

    lines: np.ndarray
    shares: np.ndarray
    wanted: np.ndarray
    diffusivity: float
    dt_ms: float

    @classmethod
    def of(cls, full: TenTusscher2006, recorded: Recorded, diffusivity: float, dt_ms: float) -> "Waves":
        """After beats that are spread over rates, blocks and rests."""
        lines = cables(recorded)
        lines = lines[np.unique(np.linspace(0, len(lines) - 1, min(LINES, len(lines))).round().astype(int))]
        shares = recorded.open_shares[lines[:, 0]]
        states = recorded.states[:, lines[:, 0], lines[:, 1]].astype(np.float32)
        cell = in_precision(dosed(full, shares), np.float32)
        wanted = np.array([velocities(cell, states, spacing, diffusivity, dt_ms) for spacing in SPACINGS_MM])
        arrived = np.isfinite(wanted).all(axis=0)
        return cls(lines[arrived], shares[arrived], wanted[:, arrived], diffusivity, dt_ms)

    def percent(self, cells: ReducedVentricular, states: np.ndarray) -> np.ndarray:
        """Errors of velocities, ``(steps, spacings, lines)``; -40 where no wave arrives, and no further from zero than 40.

        Args:
            cells: One per cable and step, steps outside, with its closure written out.
            states: Where they start, ``(4, steps * lines)``.
        """
        repeats = states.shape[1] // len(self.lines)
        shares = jnp.asarray(np.tile(self.shares, (repeats, 1)))
        cells = in_precision(cells.blocked(shares[:, 0], shares[:, 1]), np.float32)
        begin = states.astype(np.float32)
        try:
            found = np.array([velocities(cells, begin, spacing, self.diffusivity, self.dt_ms) for spacing in SPACINGS_MM])
        except SimulationError:  # a state on the way that no step can follow: lost, as a wave that does not arrive
            found = np.full((len(SPACINGS_MM), states.shape[1]), np.nan)
        error = 100 * (found.reshape(len(SPACINGS_MM), repeats, -1) / self.wanted[:, None] - 1)
        return np.where(np.isfinite(error), np.clip(error, -40, 40), -40.0).swapaxes(0, 1)

    def residuals(self, cells: ReducedVentricular, states: np.ndarray) -> np.ndarray:
        """The same over what counts as one, like a root where large, ``(steps, spacings * lines)``."""
        error = self.percent(cells, states)
        return (error * (1 + (error / LARGE_PERCENT) ** 2) ** -0.25 / PERCENT).reshape(len(error), -1)
