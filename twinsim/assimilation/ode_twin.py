"""Any ordinary differential equation as a twin that follows a stream."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from solvers.shapes import Scalar
from twinsim.assimilation.stream_model import Noise, StateVector, StreamModel, Values
from twinsim.prior import Prior, values_of
from twinsim.prior import Values as Named

Rate = Callable[[Scalar, Float[Array, " s"], Named], Float[Array, " s"]]
Read = Callable[[Float[Array, " s"], Named], Float[Array, " m"]]


class OdeTwin(StreamModel):
    r"""$\dot y = f(t, y, \theta)$ with unknown parameters; the state is $\ln y$ and the standard-normal coordinates $z$ of $\theta$.

    Between two readings the equation is integrated, by Tsitouras' method with error control or, where a longest ``step`` is given, by the
    classical Runge-Kutta method in equal steps, several times faster for a batch whose members would each have steps of their own. Then
    every component takes a step of a random walk, $\sqrt{h}$ times its ``walk``: what the equation leaves out. Give parameters that are
    truly constant a walk of zero.

    Args:
        rate: $f$ of time, $y$ and named values.
        read: What the channels show, of $y$ and named values, in the transformed unit of each channel (logarithm of PSA, say).
        priors: Of the parameters; draws of a calibration (``twinsim.inference.Draws.thinned``) are the members to start from.
        walk: Per component of the state, per square root of the unit of time.
        sigma: Deviation of a reading, per channel.
        step: Longest step of the classical method, in the unit of time; None controls the error instead.
        tolerance: Relative, of the error control.
        max_steps: Of the integration between two readings; a member that needs more becomes NaN, and its reading is refused.

    Good for up to some tens of components, all positive. Fails: stiff rates (use ``solvers.integrate_stiff`` in a model of your own);
    components that reach zero.
    """

    rate: Rate = eqx.field(static=True)
    read: Read = eqx.field(static=True)
    priors: tuple[Prior, ...] = eqx.field(static=True)
    walk: Float[Array, " n"]
    sigma: Float[Array, " m"]
    step: float | None = eqx.field(static=True, default=None)
    tolerance: float = eqx.field(static=True, default=1e-5)
    max_steps: int = eqx.field(static=True, default=1000)

    @property
    def noise_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """One per component of the state."""
        return self.walk.shape[0]

    def advance(self, state: StateVector, start: Scalar, length: Scalar, noise: Noise) -> StateVector:
        """See :class:`StreamModel`."""
        size = state.shape[0] - len(self.priors)
        values = values_of(self.priors, state[size:])

        def slope(time: Any, logs: Any, args: None) -> Any:
            del args
            y = jnp.exp(logs)
            return self.rate(time, y, values) / y

        if self.step is None:
            later = self._controlled(slope, state[:size], start, length)
        else:
            later = _in_equal_steps(lambda time, logs: slope(time, logs, None), state[:size], start, length, self.step)
        root = jnp.where(length > 0, jnp.sqrt(jnp.where(length > 0, length, 1.0)), 0.0)
        return jnp.concatenate([later, state[size:]]) + self.walk * root * noise

    def _controlled(self, slope: Any, logs: Float[Array, " s"], start: Scalar, length: Scalar) -> Float[Array, " s"]:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            diffrax.Tsit5(),
            start,
            start + length,
            None,
            logs,
            saveat=diffrax.SaveAt(t1=True),
            stepsize_controller=diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance),
            max_steps=self.max_steps,
            throw=False,
            adjoint=diffrax.ForwardMode(),
        )
        done = solution.result == diffrax.RESULTS.successful
        ended = jnp.asarray(solution.ys)[0]
        return jnp.where(length > 0, jnp.where(done, ended, jnp.nan), logs)

    def predict(self, state: StateVector) -> Values:
        """See :class:`StreamModel`."""
        size = state.shape[0] - len(self.priors)
        return self.read(jnp.exp(state[:size]), values_of(self.priors, state[size:]))

    def error(self, predicted: Values) -> Values:
        """The same at every value."""
        return jnp.broadcast_to(self.sigma, predicted.shape)

    def admissible(self, state: StateVector) -> StateVector:
        """Unchanged: logarithms and normal coordinates have no bounds."""
        return state


def _in_equal_steps(
    slope: Callable[[Any, Any], Any], logs: Float[Array, " s"], start: Scalar, length: Scalar, longest: float
) -> Float[Array, " s"]:
    """The classical Runge-Kutta method of order four."""
    count = jnp.ceil(length / longest - 1e-6)
    step = length / jnp.maximum(count, 1.0)

    def advance(index: Array, logs: Float[Array, " s"]) -> Float[Array, " s"]:
        time = start + index * step
        first = slope(time, logs)
        second = slope(time + 0.5 * step, logs + 0.5 * step * first)
        third = slope(time + 0.5 * step, logs + 0.5 * step * second)
        fourth = slope(time + step, logs + step * third)
        return logs + step / 6 * (first + 2 * second + 2 * third + fourth)

    return jax.lax.fori_loop(0, count.astype(int), advance, logs)
