"""A shock whose course in time, and over patches of tissue, is what is looked for."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.cell_model import Scalar, Stimulus
from solvers import VoxelGrid


class Shock(Stimulus):
    r"""$I(x, t) = \sum_p a_{p,k}\,r_p(x)$ in the $k$-th interval: a current that is constant in each patch and interval.

    Args:
        regions: Which share of a cell's current each patch gives, ``(patches, cells)``; from :func:`patches`.
        amplitudes: $a$ in A/F, ``(patches, intervals)``; positive depolarises. Gradients reach them.
        times: Ends of the intervals, ms, increasing; one more than intervals.

    Raises:
        ValueError: Numbers that do not fit, times that do not increase.

    In a monodomain a shock is a current into the cells: what an electrode's field does at every boundary between intra- and
    extracellular space (virtual electrodes, polarisation at obstacles) is not in it. Energies compare courses and patterns under this
    assumption, not devices.
    """

    regions: Float[Array, "patches cells"]
    amplitudes: Float[Array, "patches intervals"]
    times: Float[Array, " edges"]

    def __init__(self, regions: ArrayLike, amplitudes: ArrayLike, times: ArrayLike | Sequence[float]) -> None:
        self.regions = jnp.asarray(regions, dtype=float)
        self.amplitudes = jnp.asarray(amplitudes, dtype=float)
        self.times = jnp.asarray(times, dtype=float)
        if self.amplitudes.shape != (self.regions.shape[0], self.times.shape[0] - 1):
            raise ValueError(
                f"got amplitudes of shape {self.amplitudes.shape} for {self.regions.shape[0]} patches and {self.times.shape[0]} times; "
                "expected (patches, times - 1); do: give one per patch and interval"
            )
        if not isinstance(self.times, Tracer) and not (np.diff(np.asarray(self.times)) > 0).all():
            raise ValueError(f"got times {np.asarray(self.times).tolist()} ms; expected increasing ones; do: sort them")

    def current(self, time: Scalar) -> Float[Array, " cells"]:
        """A/F in every cell at a time in ms."""
        times = self.times.astype(time.dtype)  # in the precision of the time, so that an edge of the mesh is met exactly
        on = ((time >= times[:-1]) & (time < times[1:])).astype(self.amplitudes.dtype)
        return (self.amplitudes @ on) @ self.regions

    def edges(self) -> list[float]:
        """Where the current jumps, ms."""
        return [float(edge) for edge in np.asarray(self.times)]

    def energy(self) -> Scalar:
        r"""$\frac1N\sum_x\int I^2\,dt$ over the $N$ cells of the box, $(A/F)^2$ ms: proportional to what an ohmic electrode dissipates."""
        overlap = self.regions @ self.regions.T / self.regions.shape[1]
        return jnp.einsum("pk,pq,qk,k->", self.amplitudes, overlap, self.amplitudes, jnp.diff(self.times))


def patches(grid: VoxelGrid, along: int) -> Float[Array, "patches cells"]:
    """The box cut into ``along`` by ``along`` rectangles in the plane of x and y: ones inside of each, zero outside of the mask.

    Raises:
        ValueError: Not between one and the voxels of an axis.
    """
    if not 1 <= along <= min(grid.shape[:2]):
        raise ValueError(f"got {along} patches along an axis; expected 1 to {min(grid.shape[:2])}; do: use 1 to 8")
    x, y = (np.arange(n) * along // n for n in grid.shape[:2])
    number = np.broadcast_to((x[:, None] * along + y[None, :])[..., None], grid.shape)
    inside = np.asarray(grid.mask)
    return jnp.asarray(np.stack([((number == patch) & inside).reshape(-1) for patch in range(along**2)]).astype(float))
