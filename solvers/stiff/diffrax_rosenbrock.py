"""The Rosenbrock methods as Diffrax solvers; Diffrax is needed only where this module is imported."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from diffrax import RESULTS, AbstractAdaptiveSolver, AbstractLocalInterpolation, ODETerm
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from solvers.stiff.linear_structure import Dense, LinearStructure
from solvers.stiff.rosenbrock import RODAS4, Rosenbrock, dense_coefficients, dense_value, rosenbrock_step


class ContinuousExtension(AbstractLocalInterpolation):
    """The method's own extension over one step; see :func:`solvers.stiff.rosenbrock.dense_value`."""

    t0: Float[Array, ""]  # pyright: ignore[reportIncompatibleVariableOverride]
    t1: Float[Array, ""]  # pyright: ignore[reportIncompatibleVariableOverride]
    y0: PyTree[Array]
    y1: PyTree[Array]
    coefficients: Float[Array, "coefficients ..."]

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> PyTree[Array]:
        """The state at ``t0``, or its rise from ``t0`` to ``t1``."""
        del left
        if t1 is not None:
            return jax.tree.map(jnp.subtract, self.evaluate(t1), self.evaluate(t0))
        start, unravel = _as_array(self.y0)
        length = self.t1 - self.t0
        part = jnp.where(length == 0, 0, (t0 - self.t0) / jnp.where(length == 0, 1, length))
        return unravel(dense_value(self.coefficients, start, _as_array(self.y1)[0], part))


class RosenbrockSolver(AbstractAdaptiveSolver):
    """A Rosenbrock method for ``diffrax.diffeqsolve``: ``diffeqsolve(ODETerm(f), RosenbrockSolver(), ...)``.

    Diffrax's loop, controllers, adjoints and events come with it; :func:`solvers.stiff.rosenbrock_integrate.integrate_stiff` is faster on
    small systems, because its loop carries less.

    Args:
        method: ``RODAS3``, ``RODAS4`` or ``RODAS5P``.
        structure: The pattern of the Jacobian. A state that is no single array is flattened first.

    Fails: ``solution.evaluate(t0, t1)`` of a dense solution is Diffrax's and subtracts states with a minus sign, which a tuple or a
    dictionary has not: there take ``evaluate`` at both times and subtract the leaves.

    A kept step that has a NaN or an infinity ends ``diffeqsolve`` with ``RESULTS.nonfinite``, which it raises unless ``throw=False``.
    """

    method: Rosenbrock = eqx.field(static=True, default=RODAS4)
    structure: LinearStructure = eqx.field(default_factory=Dense)

    term_structure: ClassVar = ODETerm
    interpolation_cls: ClassVar[Callable[..., ContinuousExtension]] = ContinuousExtension

    def order(self, terms: Any) -> int:
        """Of the step."""
        del terms
        return self.method.order

    def error_order(self, terms: Any) -> int:
        """The power of the step length in the error estimate."""
        del terms
        return self.method.order

    def init(self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any) -> None:
        """Nothing is carried from step to step."""
        del terms, t0, t1, args
        self.structure.check(_as_array(y0)[0].shape)

    def step(
        self, terms: Any, t0: Any, t1: Any, y0: Any, args: Any, solver_state: None, made_jump: Any
    ) -> tuple[Any, Any, dict[str, Any], None, Any]:
        """One step; see :func:`solvers.stiff.rosenbrock.rosenbrock_step`."""
        del solver_state, made_jump
        state, unravel = _as_array(y0)

        def field(time: Any, vector: Array, args: Any) -> Array:
            return _as_array(terms.vf(time, unravel(vector), args))[0]

        time, length = jnp.asarray(t0, state.dtype), jnp.asarray(t1 - t0, state.dtype)
        after, error, stages = rosenbrock_step(self.method, self.structure, field, args, time, length, state)
        coefficients = dense_coefficients(self.method, field, args, time, length, state, after, stages)
        ends = unravel(after)
        # Diffrax looks at this only where the step is kept: with error control a NaN is a rejection, with given steps a failure.
        result = RESULTS.where(jnp.isfinite(after).all(), RESULTS.successful, RESULTS.nonfinite)
        return ends, unravel(error), {"y0": y0, "y1": ends, "coefficients": coefficients}, None, result

    def func(self, terms: Any, t0: Any, y0: Any, args: Any) -> Any:
        """The field."""
        return terms.vf(t0, y0, args)


def _as_array(state: PyTree[Array]) -> tuple[Array, Callable[[Array], PyTree[Array]]]:
    if isinstance(state, jnp.ndarray):
        return state, lambda vector: vector
    return ravel_pytree(state)
