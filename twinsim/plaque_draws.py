"""Peak stress of a plaque's cap with its slopes and its uncertainty from errors of the image, the cuff and the moduli."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from physics.plaque_section import PlaqueShape, PlaqueTissues, SectionCounts, plaque_stress
from physics.section_stress import SectionStress
from solvers.status import Status

UNKNOWNS = ("cap", "lumen_radius", "depth", "arc", "fibrous", "pool", "pressure")
"""What is not known exactly: lengths in mm, the arc in rad, moduli in kPa, pressure in kPa."""


class PlaqueBelief(eqx.Module):
    """What is believed of a plaque, and how uncertain each part of it is.

    Attributes:
        shape: Most likely lengths; the outer wall moves with the lumen, so that an error of the lumen is one of the plaque's thickness.
        tissues: Most likely moduli.
        pressure: kPa in the lumen above that outside.
        spread: Standard deviations of the logarithm of each of ``UNKNOWNS``, independent of each other.
        counts: Elements.
    """

    shape: PlaqueShape
    tissues: PlaqueTissues
    pressure: Float[Array, ""]
    spread: Float[Array, " unknowns"]
    counts: SectionCounts = eqx.field(static=True)

    def values(self) -> Float[Array, " unknowns"]:
        """Most likely values of ``UNKNOWNS``."""
        shape, tissues = self.shape, self.tissues
        return jnp.stack([shape.cap, shape.lumen_radius, shape.depth, shape.arc, tissues.fibrous, tissues.pool, self.pressure])

    def moved(self, deviations: Float[Array, " unknowns"]) -> tuple[PlaqueShape, PlaqueTissues, Float[Array, ""]]:
        """Shape, tissues and pressure at so many standard deviations of each unknown."""
        cap, lumen, depth, arc, fibrous, pool, pressure = self.values() * jnp.exp(self.spread * deviations)
        shape = PlaqueShape(lumen, self.shape.outer_radius, self.shape.wall, cap, arc, depth)
        return shape, PlaqueTissues(fibrous, pool, self.tissues.bulk, self.tissues.support), pressure

    def stress(self, deviations: Float[Array, " unknowns"]) -> SectionStress:
        """Of the plaque at so many standard deviations."""
        return plaque_stress(*self.moved(deviations), self.counts)


class PeakSlopes(eqx.Module):
    """The peak and its elasticities.

    Attributes:
        stress: Everything at the most likely values.
        elasticity: Part by which the peak changes over the part by which each unknown does: exact slopes of logarithms.
        deviation: Standard deviation of the logarithm of the peak to first order.
    """

    stress: SectionStress
    elasticity: Float[Array, " unknowns"]
    deviation: Float[Array, ""]

    def probability_above(self, threshold: Array) -> Array:
        """That the peak is above a threshold, to first order."""
        return jax.scipy.stats.norm.cdf(jnp.log(self.stress.peak_cap / threshold) / self.deviation)


@eqx.filter_jit
def peak_slopes(belief: PlaqueBelief) -> PeakSlopes:
    """One solve, and one substitution for all slopes."""

    def peak(deviations: Array) -> tuple[Array, SectionStress]:
        found = belief.stress(deviations)
        return jnp.log(found.peak_cap), found

    slopes, found = jax.grad(peak, has_aux=True)(jnp.zeros(len(UNKNOWNS)))
    return PeakSlopes(found, slopes / belief.spread, jnp.linalg.norm(slopes))


class PeakDraws(eqx.Module):
    """Peaks of drawn plaques.

    Attributes:
        deviations: Of the unknowns, in standard deviations.
        peak: kPa; meaningless where the status is not SUCCESS.
        status: UNPHYSIOLOGICAL where lengths do not fit each other (the pool leaves the wall).
    """

    deviations: Float[Array, "draws unknowns"]
    peak: Float[Array, " draws"]
    status: Int[Array, " draws"]


def peak_draws(
    belief: PlaqueBelief, key: Array, draws: int, name: str, values: Float[Array, " values"]
) -> tuple[PeakDraws, Float[Array, " values"]]:
    """As many independent plaques, and the peaks (kPa) with one of ``UNKNOWNS`` set to each of the values, all else most likely.

    One after another: a direct solve keeps a core busy by itself. A value with which lengths do not fit gives not a number.
    """
    z = jax.random.normal(key, (draws, len(UNKNOWNS)))
    place = UNKNOWNS.index(name)
    swept = jnp.zeros((values.shape[0], len(UNKNOWNS)))
    swept = swept.at[:, place].set(jnp.log(values / belief.values()[place]) / belief.spread[place])
    peaks, status = _peaks(belief, jnp.concatenate([z, swept]))
    return PeakDraws(z, peaks[:draws], status[:draws]), jnp.where(status[draws:] == 0, peaks[draws:], jnp.nan)


@eqx.filter_jit
def _peaks(belief: PlaqueBelief, deviations: Float[Array, "plaques unknowns"]) -> tuple[Array, Array]:
    def one(deviations: Array) -> tuple[Array, Array]:
        fits = jnp.all(belief.moved(deviations)[0].margins() > 0)
        found = belief.stress(jnp.where(fits, deviations, 0.0))
        return found.peak_cap, jnp.where(fits, found.status, int(Status.UNPHYSIOLOGICAL)).astype(jnp.int32)

    return jax.lax.map(one, deviations)


def interval(values: Array, part: float = 0.95) -> tuple[float, float]:
    """Between which the middle part of the values lies."""
    low, high = jnp.quantile(values, jnp.array([(1 - part) / 2, (1 + part) / 2]))
    return float(low), float(high)
