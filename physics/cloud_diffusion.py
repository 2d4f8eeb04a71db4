"""Diffusion between points that no mesh joins."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from solvers.rate import Rate


class CloudDiffusion(Rate):
    r"""$w_i\dot u_i=\sum_j g_{ij}(u_j-u_i)$: each pair of neighbours exchanges, and each point stands for a volume.

    Whatever $g\ge0$ and $w>0$ are, $\sum w_iu_i$ is kept to round-off, a uniform field stays, no extremum grows and $\sum w_iu_i^2$ falls:
    a pair is listed once, so that what one point loses the other gains. Whether it is diffusion with a given diffusivity depends on $g$ and
    $w$: those of Voronoi cells (length of the common wall times diffusivity over distance; area) are of first to second order in the
    spacing; ``twinsim.closures.CloudConductances`` learns them from points alone.

    Args:
        conductances: $g$ of every pair, area (or volume) per time; zero for padding.
        volumes: $w$ of every point, of any positive value where there is none.
        first: One point of each pair.
        second: The other.

    Raises:
        ValueError: Shapes that do not fit, numbers of points that are none, conductances below zero, volumes not above it; a state of
            another length.

    Good values: 6 to 10 neighbours per point. Fails: a pair through a wall carries what the wall should stop; leave it out.
    """

    conductances: Float[Array, " pairs"]
    volumes: Float[Array, " points"]
    first: Int[Array, " pairs"]
    second: Int[Array, " pairs"]

    def __check_init__(self) -> None:
        parts = (self.conductances, self.volumes, self.first, self.second)
        shapes = [np.shape(part) for part in parts]
        if len(shapes[1]) != 1 or len(shapes[0]) != 1 or not shapes[0] == shapes[2] == shapes[3]:
            got = f"conductances, volumes, first and second of shapes {', '.join(map(str, shapes))}"
            raise ValueError(f"got {got}; expected (pairs,), (points,), (pairs,), (pairs,); do: list every pair once")
        if any(isinstance(part, Tracer) for part in parts):
            return
        g, w, *ends = map(np.asarray, parts)
        if not (np.isfinite(g).all() and np.isfinite(w).all() and (g >= 0).all() and (w > 0).all()):
            raise ValueError("got conductances or volumes below zero or not finite; expected g >= 0 and w > 0; do: check weights and units")
        if any(end.dtype.kind not in "iu" or (end.size and not 0 <= end.min() <= end.max() < len(w)) for end in ends):
            raise ValueError(
                f"got pairs of points that are none; expected whole numbers from 0 to {len(w) - 1}; do: number points from zero"
            )

    def evaluate(self, state: Float[Array, "*batch points"], time: Float[Array, ""]) -> Float[Array, "*batch points"]:
        """$\\dot u$."""
        del time
        if state.shape[-1:] != self.volumes.shape:
            got = f"a state of shape {state.shape}"
            raise ValueError(f"got {got}; expected {self.volumes.size} points along the last axis; do: pad it to the cloud's room")
        state = state * jnp.ones((), self.volumes.dtype) if not jnp.issubdtype(state.dtype, jnp.inexact) else state
        difference = state[..., self.second] - state[..., self.first]
        flow = jnp.broadcast_to(self.conductances, difference.shape) * difference
        gained = jnp.zeros_like(state).at[..., self.first].add(flow).at[..., self.second].add(-flow)
        return gained / jnp.broadcast_to(self.volumes, state.shape)

    def spectral_bound(self) -> Float[Array, ""]:
        r"""$2\max_i\sum_jg_{ij}/w_i$ (Gershgorin)."""
        points = self.volumes.shape[0]
        total = sum(jax.ops.segment_sum(self.conductances, ends, num_segments=points) for ends in (self.first, self.second))
        return 2 * jnp.max(total / self.volumes)
