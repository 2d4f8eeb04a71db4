"""The minimal model of glucose as a twin that follows a continuous monitor."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.glucose_minimal import GUT, SENSOR, STOMACH, GlucoseMinimal
from solvers.shapes import Scalar
from twinsim.assimilation.linearised_step import NormalState
from twinsim.assimilation.reading import Channel
from twinsim.assimilation.stream_model import Noise, StateVector, StreamModel, Values
from twinsim.prior import Prior, values_of

GLUCOSE_PRIORS = (
    Prior("effectiveness", "1/min", 0.02, 0.5, "log", "Bergman 1979, Am. J. Physiol. 236:E667: 0.01 to 0.04 in health"),
    Prior("action_rate", "1/min", 0.025, 0.5, "log", "the same: p2 0.01 to 0.05"),
    Prior("sensitivity", "1/min per mU/L", 5e-4, 0.7, "log", "Bergman, Phillips and Cobelli 1981, J. Clin. Invest. 68:1456"),
    Prior("secretion", "mU/L/min per mg/dL", 0.03, 0.7, "log", "Toffolo 1980, Diabetes 29:979: second phase; wide, for the first is in it"),
    Prior("basal", "mg/dL", 100.0, 0.12, "log", "fasting glucose 80 to 125"),
    Prior("absorption", "min", 15.0, 0.8, "log", "Hovorka 2004, Physiol. Meas. 25:905: 40 for meals; shorter and wide: effort too"),
    Prior("disturbance", "mg/dL/min per sqrt(min)", 0.3, 1.0, "log", "own: excursions of 50 mg/dL within an hour"),
    Prior("noise", "mg/dL", 2.0, 0.7, "log", "own: a monitor's reading after the maker's smoothing"),
    Prior("drift", "mg/dL per sqrt(min)", 0.3, 1.0, "log", "own: 10 mg/dL in a day to 30"),
)
GLUCOSE_CHANNEL = Channel("glucose", "mg/dL", low=20.0, high=600.0)
_CLEARANCE, _SENSOR_LAG = 0.2, 6.0


class GlucoseTwin(StreamModel):
    """The six components of :class:`physics.GlucoseMinimal`, and the basal glucose as a slow random walk.

    Args:
        noise: Deviation of a reading, mg/dL.
        drift: Of the basal value, mg/dL per square root of a minute.
        equation: The model; its basal value is that of the first moment.

    Clearance of insulin and lag of the sensor are fixed: a record of glucose alone cannot tell them from secretion and absorption.
    """

    equation: GlucoseMinimal
    noise: Scalar
    drift: Scalar
    noise_size: int = eqx.field(static=True, default=2)

    def advance(self, state: StateVector, start: Scalar, length: Scalar, noise: Noise) -> StateVector:
        """See :class:`StreamModel`; minutes."""
        del start
        equation = eqx.tree_at(lambda e: e.basal, self.equation, state[6])
        basal = state[6] + self.drift * jnp.sqrt(jnp.where(length > 0, length, 1.0)) * jnp.where(length > 0, noise[1], 0.0)
        return jnp.append(equation.flow(state[:6], length, noise[0]), basal)

    def predict(self, state: StateVector) -> Values:
        """The monitor's glucose, mg/dL."""
        return state[SENSOR : SENSOR + 1]

    def error(self, predicted: Values) -> Values:
        """The same at every value."""
        return jnp.broadcast_to(self.noise, predicted.shape)

    def admissible(self, state: StateVector) -> StateVector:
        """Glucose and its basal value between 20 and 600 mg/dL."""
        index = jnp.array([0, SENSOR, 6])
        return state.at[index].set(jnp.clip(state[index], 20.0, 600.0))

    def before_the_first_reading(self) -> NormalState:
        """Steady at the basal value, as uncertain as an unknown time of day makes it."""
        mean = jnp.append(self.equation.rest(), self.equation.basal)
        appearance = 0.5 * self.equation.disturbance * jnp.sqrt(self.equation.absorption)
        known = jnp.array([25.0, 5e-3, 5.0, 25.0, 0.0, 0.0, 15.0], mean.dtype)
        deviation = known.at[GUT].set(appearance).at[STOMACH].set(1.4 * appearance)
        covariance = jnp.diag(deviation**2)
        return NormalState(mean, covariance.at[0, SENSOR].set(600.0).at[SENSOR, 0].set(600.0))


def glucose_twin_at(z: Float[Array, " parameters"]) -> GlucoseTwin:
    """The twin with parameters at standard-normal coordinates of ``GLUCOSE_PRIORS``."""
    values = values_of(GLUCOSE_PRIORS, z)
    equation = GlucoseMinimal(
        effectiveness=values["effectiveness"],
        action_rate=values["action_rate"],
        sensitivity=values["sensitivity"],
        secretion=values["secretion"],
        clearance=jnp.asarray(_CLEARANCE, z.dtype),
        basal=values["basal"],
        sensor_lag=jnp.asarray(_SENSOR_LAG, z.dtype),
        absorption=values["absorption"],
        disturbance=values["disturbance"],
    )
    return GlucoseTwin(equation=equation, noise=values["noise"], drift=values["drift"])
