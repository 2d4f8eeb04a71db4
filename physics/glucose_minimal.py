r"""The minimal model of glucose with an unknown meal."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar

GlucoseState = Float[Array, " 6"]
GLUCOSE, ACTION, INSULIN, SENSOR, GUT, STOMACH = range(6)
"""Components of the state, in this order."""


class GlucoseMinimal(eqx.Module):
    r"""Bergman's minimal model, insulin that answers glucose, absorption through two compartments, and a sensor that lags.

    $$\dot G = -(p_1 + X)\,G + p_1 G_b + R,\quad \dot X = -p_2 (X - S_I I),\quad \dot I = \gamma\,(G-G_b) - n I,$$
    $$\dot C = (G-C)/\tau_s,\quad \dot R = (S-R)/\tau_m,\quad dS = -S/\tau_m\,dt + \sigma_m\,dW.$$

    $G$ plasma glucose (mg/dL), $X$ remote insulin action (1/min), $I$ insulin above basal (mU/L), $C$ interstitial glucose (mg/dL), as a
    continuous monitor reads it, $R$ rate at which glucose appears beyond the basal production (mg/dL/min), $S$ its source: meals that
    nobody announced, and effort or stress with the other sign, as white noise through two compartments in series.

    Args:
        effectiveness: $p_1$, 1/min; 0.01 to 0.03.
        action_rate: $p_2$, 1/min; 0.01 to 0.05.
        sensitivity: $S_I = p_3/p_2$, (1/min) per mU/L; 2e-4 to 1e-3.
        secretion: $\gamma$, (mU/L/min) per mg/dL: second phase, and what of the first the record of glucose alone can show; 0.01 to 0.1.
        clearance: $n$, 1/min; 0.1 to 0.3.
        basal: $G_b$, mg/dL; 80 to 110 in health.
        sensor_lag: $\tau_s$, min; 5 to 10.
        absorption: $\tau_m$, min; 20 to 60.
        disturbance: $\sigma_m$, mg/dL/min per square root of a minute; the stationary deviation of $R$ is $\sigma_m\sqrt{\tau_m}/2$.
        inner_step: Longest step of the integration, min.

    Integrated by the classical fourth-order Runge-Kutta method in equal steps no longer than ``inner_step``; over each the noise is
    added to $S$ with its exact variance, so that the statistics of $S$ do not depend on the readings' spacing (those of $R$ do by
    $O(h)$). Fails: no counter-regulation at low glucose, no circadian change, no insulin that is injected, one constant basal.

    Sources: Bergman, Ider, Bowden and Cobelli (1979), Am. J. Physiol. 236:E667, model VI; insulin Toffolo, Bergman, Finegood, Bowden and
    Cobelli (1980), Diabetes 29:979, its threshold taken as the basal value; absorption Hovorka et al. (2004), Physiol. Meas. 25:905, eq. 4;
    sensor Rebrin, Steil, van Antwerp and Mastrototaro (1999), Am. J. Physiol. 277:E561.
    """

    effectiveness: Scalar
    action_rate: Scalar
    sensitivity: Scalar
    secretion: Scalar
    clearance: Scalar
    basal: Scalar
    sensor_lag: Scalar
    absorption: Scalar
    disturbance: Scalar
    inner_step: float = eqx.field(static=True, default=2.5)

    def rest(self) -> GlucoseState:
        """The steady state without a meal."""
        return jnp.zeros(6, self.basal.dtype).at[jnp.array([GLUCOSE, SENSOR])].set(self.basal)

    def rate(self, state: GlucoseState) -> GlucoseState:
        """The right-hand side without noise, per minute."""
        glucose, action, insulin, sensor, gut, stomach = state
        return jnp.stack(
            [
                -(self.effectiveness + action) * glucose + self.effectiveness * self.basal + gut,
                -self.action_rate * (action - self.sensitivity * insulin),
                self.secretion * (glucose - self.basal) - self.clearance * insulin,
                (glucose - sensor) / self.sensor_lag,
                (stomach - gut) / self.absorption,
                -stomach / self.absorption,
            ]
        )

    def flow(self, state: GlucoseState, length: Scalar, noise: Scalar) -> GlucoseState:
        r"""The state after ``length`` minutes; ``noise`` is one standard-normal number for the whole interval.

        It enters $S$ in equal parts, one per inner step, each decayed to the end like $S$ itself, scaled so that the variance of $S$ is
        exactly $\sigma_m^2\tau_m(1-e^{-2h/\tau_m})/2$ at the end.
        """
        count = jnp.maximum(jnp.ceil(length / self.inner_step - 1e-6), 1.0)
        step = length / count
        variance = 0.5 * self.disturbance**2 * self.absorption * -jnp.expm1(-2 * length / self.absorption)
        # The sum of e^{-(count-1-i) step / tau} over the steps: what equal kicks become at the end.
        decay = step / self.absorption
        total = jnp.where(step > 0, jnp.expm1(-count * decay) / jnp.where(step > 0, jnp.expm1(-decay), -1.0), count)
        kick = noise * jnp.sqrt(jnp.where(length > 0, variance, 1.0)) / total
        kick = jnp.where(length > 0, kick, 0.0)

        def advance(_: Array, state: GlucoseState) -> GlucoseState:
            first = self.rate(state)
            second = self.rate(state + 0.5 * step * first)
            third = self.rate(state + 0.5 * step * second)
            fourth = self.rate(state + step * third)
            state = state + step / 6 * (first + 2 * second + 2 * third + fourth)
            return state.at[STOMACH].add(kick)

        return jax.lax.fori_loop(0, count.astype(int), advance, state)
