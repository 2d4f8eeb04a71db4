"""Currents through electrodes into the space outside of cells."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.cell_model import Scalar, Stimulus
from physics.pulse_train import check_pulses, pulse_edges, pulse_is_on
from solvers import Components, VoxelGrid


class ExtracellularStimulus(Stimulus):
    r"""A current from one electrode to another through the conductor, $I_e = I\,(r_+/|r_+| - r_-/|r_-|)/(\chi C_m)$ for a while.

    Args:
        conductor: Tissue and bath.
        electrode: Volume ``(x, y, z)``: the voxels under it, or the fraction of each. Current enters there, evenly by volume.
        ground: The same for the electrode where it leaves.
        milliampere: $I$; positive is anodal at ``electrode``, negative cathodal. Gradients reach it.
        duration: ms.
        membrane_density: $\chi C_m$ in uF/mm³, the product that the diffusivities were made with: 1.4 in Niederer 2011.
        starts: ms, one number or several.

    Raises:
        ValueError: Electrodes of another shape, empty, outside of the conductor or on top of each other; a duration or a membrane
            density that is not positive; starts closer than the duration.

    1 mA is 1000 uA, and uA/mm³ over uF/mm³ is A/F or mV/ms.
    """

    pattern: Float[Array, " cells"]
    milliampere: Scalar
    duration: Scalar
    starts: Float[Array, " starts"]

    def __init__(
        self, conductor: VoxelGrid, electrode: ArrayLike, ground: ArrayLike, milliampere: ArrayLike, duration: ArrayLike,
        membrane_density: float = 1.4, starts: ArrayLike = 0.0,
    ) -> None:  # fmt: skip
        parts = [_checked(conductor, given, name) for given, name in ((electrode, "electrode"), (ground, "ground"))]
        if (parts[0] * parts[1]).any():
            raise ValueError("got an electrode and a ground that share voxels; expected them apart; do: move one")
        if not membrane_density > 0:
            raise ValueError(
                f"got a membrane density of {membrane_density:g} uF/mm^3; expected it positive; do: 140 /mm times 0.01 uF/mm^2"
            )
        scale = 1000 / (membrane_density * conductor.voxel_volume)
        self.pattern = jnp.asarray(scale * (parts[0] / parts[0].sum() - parts[1] / parts[1].sum()))
        self.milliampere, self.duration = jnp.asarray(milliampere, dtype=float), jnp.asarray(duration, dtype=float)
        self.starts = jnp.sort(jnp.atleast_1d(jnp.asarray(starts, dtype=float)))
        check_pulses(self.duration, self.starts)

    def current(self, time: Scalar) -> Float[Array, " cells"]:
        """A/F in every voxel of the box at a time in ms; sums to zero."""
        on = pulse_is_on(time, self.duration, self.starts)
        return jnp.where(on, self.milliampere, jnp.zeros_like(self.milliampere)).astype(self.pattern.dtype) * self.pattern

    def edges(self) -> list[float]:
        """See :class:`Stimulus`."""
        return pulse_edges(self.duration, self.starts)

    def check_balance(self, pieces: Components, number: int) -> None:
        """Refuses electrodes in pieces of the conductor that do not touch: no current can flow from one to the other."""
        if isinstance(self.pattern, Tracer):
            return
        totals, scale = np.asarray(pieces.total(self.pattern)), float(jnp.abs(self.pattern).sum())
        if (np.abs(totals) > 1e-6 * scale).any():
            raise ValueError(
                f"got electrodes {number} whose currents do not cancel on each of the conductor's {pieces.count} pieces; expected both "
                "ends in one piece; do: join the pieces by bath, or move the ground"
            )


def _checked(conductor: VoxelGrid, given: ArrayLike, name: str) -> np.ndarray:
    values = np.asarray(given, dtype=float)
    if values.shape != conductor.shape:
        raise ValueError(f"got an {name} of shape {values.shape}; expected {conductor.shape}; do: resample it to the grid")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"got an {name} with values outside of 0 to 1; expected booleans or fractions of voxels; do: scale milliampere")
    outside = int(((values > 0) & ~np.asarray(conductor.mask)).sum())
    if outside:
        raise ValueError(f"got an {name} with {outside} voxels outside of the conductor; expected none; do: move it, or take more bath")
    if not values.any():
        raise ValueError(f"got an {name} without a voxel; expected at least one; do: check its position and the spacing")
    return values.reshape(-1)
