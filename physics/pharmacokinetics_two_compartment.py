"""Two compartments: the concentration in plasma after any schedule of injections and infusions, in closed form."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.number_checks import check_numbers
from solvers.shapes import Scalar

Times = Float[Array, "*times"]


class Doses(NamedTuple):
    """A schedule.

    Attributes:
        start: Of each dose, in the unit of time of the rates.
        duration: Of each infusion; zero for an injection.
        amount: Of each dose.
    """

    start: Float[Array, " doses"]
    duration: Float[Array, " doses"]
    amount: Float[Array, " doses"]


class TwoCompartment(eqx.Module):
    r"""$V_1\dot C = -(Cl+Q)\,C + Q\,C_2 + \text{doses},\quad V_2\dot C_2 = Q\,(C-C_2)$, so that an injection gives
    $C=D\,(A e^{-\alpha t}+Be^{-\beta t})$ and an infusion its average over the time since its parts came in.

    Args:
        volume: $V_1>0$, L.
        clearance: $Cl\ge0$, L/h (or any unit of time that the doses share).
        peripheral: $V_2>0$, L.
        exchange: $Q>0$ between both, L/h.

    Good values: antibodies 3 L, 0.01 L/h, 3 L, 0.02 L/h; doxorubicin in :data:`physics.DOXORUBICIN`. Linear: no target-mediated
    elimination (:class:`physics.TargetMediatedDisposition`), and what tissue takes up is not missed in the blood.

    Raises:
        ValueError: Numbers outside of these bounds, on construction. Traced values pass.

    Source: Gibaldi and Perrier (1982), *Pharmacokinetics*, chapter 2.
    """

    volume: Scalar
    clearance: Scalar
    peripheral: Scalar
    exchange: Scalar

    def __check_init__(self) -> None:
        for name in ("volume", "clearance", "peripheral", "exchange"):
            check_numbers(name, getattr(self, name), zero=name == "clearance")

    def rates(self) -> tuple[Scalar, Scalar]:
        r"""$\alpha>\beta$, per unit of time: half-lives are their parts of $\ln2$."""
        out, away, back = self.clearance / self.volume, self.exchange / self.volume, self.exchange / self.peripheral
        both = out + away + back
        fast = (both + jnp.sqrt(jnp.maximum(both**2 - 4 * out * back, 0))) / 2
        return fast, out * back / fast

    def concentration(self, times: Times, doses: Doses) -> Times:
        """Concentration in plasma at times, amount per L; an injection counts just after its time, so that a step may end at it."""
        fast, slow = self.rates()
        back = self.exchange / self.peripheral
        first = (fast - back) / (fast - slow) / self.volume
        doses = jax.tree.map(lambda leaf: leaf[(None,) * times.ndim], doses)
        since = times[..., None] - doses.start
        came, gone = jnp.maximum(since, 0), jnp.maximum(since - doses.duration, 0)
        rounding = 100 * jnp.finfo(came.dtype).eps * jnp.abs(times[..., None])
        given, long = (since > rounding).astype(came.dtype), doses.duration > 0
        length = jnp.where(long, doses.duration, 1)

        def part(rate: Scalar) -> Array:
            """Average of an exponential over what came in until now; a rate of zero is not divided by."""
            moved = rate > 0
            safe = jnp.where(moved, rate, 1)
            infused = jnp.where(moved, (jnp.exp(-safe * gone) - jnp.exp(-safe * came)) / safe, came - gone) / length
            return jnp.where(long, infused, given * jnp.exp(-rate * came))

        return jnp.sum(doses.amount * (first * part(fast) + (1 / self.volume - first) * part(slow)), axis=-1)


class PlasmaCourse(eqx.Module):
    """The concentration of free drug in plasma as a function of time.

    Attributes:
        kinetics: Of the body.
        doses: The schedule.
        free: Share that is not bound to proteins.
    """

    kinetics: TwoCompartment
    doses: Doses
    free: Scalar

    def __call__(self, time: Times) -> Times:
        return self.free * self.kinetics.concentration(time, self.doses)
