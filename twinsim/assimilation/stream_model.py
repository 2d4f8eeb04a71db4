"""What a stream of readings needs to know of a twin: how it moves, what a reading would show, and how wrong a reading may be."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from solvers.shapes import Scalar

StateVector = Float[Array, " n"]
Noise = Float[Array, " q"]
Values = Float[Array, " m"]
Present = Bool[Array, " m"]
Members = Float[Array, "k n"]
Predictions = Float[Array, "k m"]
Covariance = Float[Array, "n n"]


class StreamModel(eqx.Module):
    r"""A state-space model with additive normal errors of the readings: $x' = f(x, w)$, $y = h(x) + \varepsilon$.

    The state is one flat vector, unknown parameters among it, in coordinates without bounds where that is possible (logarithms). The
    disturbance of an interval is an explicit standard-normal vector $w$, so that a filter may draw it and a smoother may estimate it.

    Attributes:
        noise_size: Length of $w$; may be 0.
    """

    noise_size: eqx.AbstractVar[int]

    @abstractmethod
    def advance(self, state: StateVector, start: Scalar, length: Scalar, noise: Noise) -> StateVector:
        """One member from ``start`` to ``start + length``; a length of zero returns the state unchanged, whatever the noise."""

    @abstractmethod
    def predict(self, state: StateVector) -> Values:
        """$h(x)$: what the channels would read, without error, in the transformed unit of each channel."""

    @abstractmethod
    def error(self, predicted: Values) -> Values:
        """Standard deviation of a reading's error, per channel."""

    @abstractmethod
    def admissible(self, state: StateVector) -> StateVector:
        """The state itself, or the nearest one that makes sense: a linear update knows no bounds."""


class Ensemble(eqx.Module):
    """Equally or differently weighted states at one time: what every method can be asked for.

    Attributes:
        members: The states.
        log_weights: Logarithms of the weights, which sum to one.
        time: Of the states, in the model's unit.
    """

    members: Members
    log_weights: Float[Array, " k"]
    time: Scalar

    @property
    def mean(self) -> StateVector:
        """The weighted mean."""
        return jnp.exp(self.log_weights) @ self.members

    @property
    def deviation(self) -> StateVector:
        """The weighted standard deviation per component."""
        return jnp.sqrt(jnp.exp(self.log_weights) @ (self.members - self.mean[None]) ** 2)


def equal_ensemble(members: Members, time: float | Scalar) -> Ensemble:
    """An ensemble of draws of a prior."""
    count = members.shape[0]
    return Ensemble(members, jnp.full(count, -jnp.log(count), members.dtype), jnp.asarray(time, members.dtype))


def advanced(model: StreamModel, ensemble: Ensemble, time: Scalar, key: Array) -> Ensemble:
    """The ensemble at a later time, each member with a disturbance of its own."""
    count = ensemble.members.shape[0]
    noise = jax.random.normal(key, (count, model.noise_size), ensemble.members.dtype)
    step = jax.vmap(model.advance, in_axes=(0, None, None, 0))
    members = step(ensemble.members, ensemble.time, time - ensemble.time, noise)
    return Ensemble(members, ensemble.log_weights, time)


def predictions(model: StreamModel, members: Members) -> Predictions:
    """What every member predicts."""
    return jax.vmap(model.predict)(members)


class Innovation(eqx.Module):
    r"""What a reading said before it was used.

    Attributes:
        predicted: Mean prediction per channel.
        residual: Reading minus prediction; 0 where the channel is absent.
        deviation: Standard deviation of the residual that was expected, spread of the belief and error of the reading together.
        outlier: Whether $|residual/deviation|$ is beyond the gate.
        log_evidence: $\log p(y\mid\text{earlier readings})$ under a normal, of the channels that were used.
        used: Channels that were assimilated.
    """

    predicted: Values
    residual: Values
    deviation: Values
    outlier: Present
    log_evidence: Scalar
    used: Present

    @property
    def standardised(self) -> Values:
        """The residual in units of its expected deviation."""
        return self.residual / self.deviation


Order = Int[Array, " k"]
