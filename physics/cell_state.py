"""Whether cells are in a state that cells can be in: as data, and in words that name the gate."""

from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from solvers.status import SimulationError, Status, refuse_traced

if TYPE_CHECKING:
    from physics.cell_model import CellModel

Stacked = Float[Array, "components *cells"]
Range = tuple[float, float]

RANGES: dict[str, Range] = {
    "mV": (-200.0, 200.0),
    "1": (-1e-3, 1 + 1e-3),
    "mmol/L": (0.0, 1000.0),
    "mmol/L/ms": (-1000.0, 1000.0),
}
"""From where to where a component may be, by its unit; gates pass 0 and 1 by what a step of second order leaves."""
SCALED_VOLTAGE: Range = (-2.0, 3.0)
"""Of a voltage without a unit that runs from 0 to about 1.5, with the artefact of a strong stimulus."""


class CellState(eqx.Module):
    """What :meth:`physics.CellModel.examine` found.

    Attributes:
        status: :class:`solvers.status.Status`: SUCCESS, or UNPHYSIOLOGICAL where a component of a cell is outside of its range or NaN.
        component: Number of the component that is furthest outside, beside the width of its range; 0 where all is well.
        cell: The cell that it is in, counted in C order.
        value: What it is there.
        cells: In how many cells something is outside.
        names: Of the components.
        units: Likewise.
        ranges: Likewise, from where to where.
    """

    status: Int[Array, "*batch"]
    component: Int[Array, "*batch"]
    cell: Int[Array, "*batch"]
    value: Float[Array, "*batch"]
    cells: Int[Array, "*batch"]
    names: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    ranges: tuple[Range, ...] = eqx.field(static=True)

    def in_words(self, member: int = 0) -> str:
        """Which component of which cell, what it is and what it may be, for one member of a batch (or one time)."""
        number = int(np.asarray(self.component).flat[member])
        low, high = self.ranges[number]
        unit = self.units[number]
        kind = "potential" if number == 0 else {"1": "gate", "mmol/L": "concentration"}.get(unit, "component")
        shown = "" if unit == "1" else f" {unit}"
        value, cell, cells = (np.asarray(part).flat[member] for part in (self.value, self.cell, self.cells))
        place = f"cell {int(cell)}" if cells == 1 else f"cell {int(cell)}, one of {int(cells)} such cells"
        return (
            f"the {kind} {self.names[number]} is {value:.4g}{shown} in {place}, where {round(low):g} to {round(high):g}{shown} is possible"
        )

    def raise_for_status(self) -> None:
        """Raises :class:`solvers.status.SimulationError` that names the component and the cell of the first member that failed.

        Inside of jit or vmap it is a ValueError.
        """
        refuse_traced(self.status, "raise_for_status")
        failed = np.flatnonzero(np.asarray(self.status) != Status.SUCCESS)
        if failed.size:
            raise SimulationError(
                f"{self.in_words(int(failed[0]))}; do: check the initial state and its units and order (cell.names, cell.units); "
                "where it began well, shorten the step and check the stimulus"
            )


def examine_cells(cell: "CellModel", state: Stacked) -> CellState:
    """See :meth:`physics.CellModel.examine`."""
    state = jax.lax.stop_gradient(state)
    flat = state.reshape(state.shape[0], -1)
    ranges = cell.ranges
    low, high = (jnp.asarray(side, flat.dtype)[:, None] for side in zip(*ranges, strict=True))
    excess = jnp.maximum(low - flat, flat - high) / (high - low)
    outside = ~((flat >= low) & (flat <= high))  # NaN is outside of everything
    worst = jnp.argmax(jnp.where(outside, jnp.where(jnp.isfinite(excess), excess, jnp.inf), -jnp.inf))
    any_outside = outside.any()
    component, place = worst // flat.shape[1], worst % flat.shape[1]
    return CellState(
        jnp.where(any_outside, Status.UNPHYSIOLOGICAL, Status.SUCCESS).astype(int),
        jnp.where(any_outside, component, 0).astype(int),
        jnp.where(any_outside, place, 0).astype(int),
        flat.reshape(-1)[worst],
        outside.any(axis=0).sum().astype(int),
        cell.names,
        cell.units,
        ranges,
    )
