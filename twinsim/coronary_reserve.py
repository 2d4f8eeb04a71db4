"""Fractional flow reserve of a coronary tree with its uncertainty from errors of the lumen."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from physics.coronary_flow import steady_tree_flow
from physics.coronary_tree import CoronaryTree, bed_resistances

LEAST_DIAMETER_MM = 0.3
"""Errors do not make a lumen narrower: below, a channel is closed for an image."""


class ReserveDraws(eqx.Module):
    """Reserves under drawn errors.

    Attributes:
        reserve: Of every draw and segment.
        clipped: Part of the draws in which a diameter was held at :data:`LEAST_DIAMETER_MM`.
        status: Codes of the draws.
    """

    reserve: Float[Array, "draws segments"]
    clipped: Float[Array, ""]
    status: Int[Array, " draws"]


class HyperaemicBeds(eqx.Module):
    """What stands behind the arteries.

    Attributes:
        flow: mL/s, of the whole tree at rest.
        aortic: mmHg, mean.
        venous: mmHg.
        ratio: Resistance under hyperaemia over that at rest.
        exponent: Of the scaling law.
    """

    flow: Float[Array, ""]
    aortic: Float[Array, ""]
    venous: Float[Array, ""]
    ratio: Float[Array, ""]
    exponent: Float[Array, ""]

    def resistances(self, tree: CoronaryTree) -> Float[Array, " outlets"]:
        """mmHg s/mL, from the diameters at the ends of this tree."""
        return bed_resistances(tree.shares(self.exponent), self.flow, self.aortic - self.venous, self.ratio)


def reserve_draws(
    tree: CoronaryTree, beds: HyperaemicBeds, key: Array, draws: int, deviation: Array, correlation: Array, beds_follow: bool
) -> ReserveDraws:
    r"""All diameters of segment $s$ are off by $\sigma(\sqrt\rho\,z_0 + \sqrt{1-\rho}\,z_s)$: an error shared by the tree, one of its own.

    Args:
        tree: As measured.
        beds: Behind it.
        key: Of the draws.
        draws: How many.
        deviation: mm, $\sigma$.
        correlation: $\rho$, 0 to 1, of the errors of two segments. Within a segment errors are one: a threshold that is off is so along it.
        beds_follow: Whether beds are scaled by the drawn diameters, else by those measured.
    """
    count = len(tree.names)
    z = jax.random.normal(key, (draws, count + 1))
    errors = deviation * (jnp.sqrt(correlation) * z[:, :1] + jnp.sqrt(1 - correlation) * z[:, 1:])
    measured = beds.resistances(tree)

    def one(error: Array) -> tuple[Array, Array, Array]:
        wanted = tree.diameters + error[None]
        drawn = eqx.tree_at(lambda t: t.diameters, tree, jnp.maximum(wanted, LEAST_DIAMETER_MM))
        behind = beds.resistances(drawn) if beds_follow else measured
        found = steady_tree_flow(drawn, behind, beds.aortic, beds.venous)
        return found.pressure / beds.aortic, (wanted < LEAST_DIAMETER_MM).any(), found.status

    reserve, clipped, status = jax.vmap(one)(errors)
    return ReserveDraws(reserve, jnp.mean(clipped.astype(reserve.dtype)), status)
