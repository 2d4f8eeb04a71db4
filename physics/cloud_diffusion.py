"""Diffusion between points that no mesh joins."""

import jax
import jax.numpy as jnp
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

    Good values: 6 to 10 neighbours per point. Fails: a pair through a wall carries what the wall should stop; leave it out.
    """

    conductances: Float[Array, " pairs"]
    volumes: Float[Array, " points"]
    first: Int[Array, " pairs"]
    second: Int[Array, " pairs"]

    def evaluate(self, state: Float[Array, "*batch points"], time: Float[Array, ""]) -> Float[Array, "*batch points"]:
        """$\\dot u$."""
        del time
        difference = state[..., self.second] - state[..., self.first]
        flow = jnp.broadcast_to(self.conductances, difference.shape) * difference
        gained = jnp.zeros_like(state).at[..., self.first].add(flow).at[..., self.second].add(-flow)
        return gained / jnp.broadcast_to(self.volumes, state.shape)

    def spectral_bound(self) -> Float[Array, ""]:
        r"""$2\max_i\sum_jg_{ij}/w_i$ (Gershgorin)."""
        points = self.volumes.shape[0]
        total = sum(jax.ops.segment_sum(self.conductances, ends, num_segments=points) for ends in (self.first, self.second))
        return 2 * jnp.max(total / self.volumes)
