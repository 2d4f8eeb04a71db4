"""The equations of the project as residuals: their rates as they stand, at points of time or on all voxels of a mask."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from physics import Equation
from solvers import Operator, Rate, Stepper, VoxelGrid
from solvers.rate import as_rate
from twinsim.informed.rows import DenseRows, Function, Parameters, each_linearised

RateFunction = Callable[[Any, Any], Any]


def rate_of(equation: Equation | Stepper | Rate | Operator) -> RateFunction:
    r"""$f(u,t)$ of $u'=f$ from what solves it: an equation, a stepper, a rate or an operator, none of which is written anew.

    A stepper $\Phi_h$ that is consistent has $f(u,t)=\partial_h\Phi_h(u,t)|_{h=0}$, exactly, whatever its order and splitting; the cost is
    one step of length zero with its tangent. What is stiff is no harder than the rest, since nothing is stepped.

    Fails: steppers whose parts do not come to $f$ at $h=0$ (jumps at events, stimuli that a step averages), states of integers.
    """
    if isinstance(equation, Rate | Operator):
        known = as_rate(equation)
        return lambda state, time: known.evaluate(state, jnp.asarray(time, jax.tree.leaves(state)[0].dtype))
    stepper = equation.stepper() if isinstance(equation, Equation) else equation

    def rate(state: Any, time: Any) -> Any:
        dtype = jax.tree.leaves(state)[0].dtype
        zero = jnp.zeros((), dtype)
        return jax.jvp(lambda length: stepper.advance(state, jnp.asarray(time, dtype), length), (zero,), (jnp.ones_like(zero),))[1]

    return rate


def implicit_residual(
    rate: RateFunction,
    state: Float[Array, " states"],
    slope: Float[Array, " states"],
    time: Float[Array, ""],
    length: Float[Array, ""],
) -> Float[Array, " states"]:
    r"""$(I/h-J)^{-1}(\dot u-f(u,t))$ with $J=\partial f/\partial u$: how far an implicit step would move the state, in its units.

    Where rates are far apart the plain residual is not the error: a fast component in balance that is off by $\epsilon$ misses
    $\lambda\epsilon$, and least squares look at nothing else. Here it counts as $\epsilon$, and a slow one as its rate times $h$.

    Args:
        rate: $f$.
        state: $u$; few, since the matrix is written out.
        slope: $\dot u$ of the network.
        time: $t$.
        length: $h$, over which the slow rates are to be right: the time since the start, or the span.
    """
    jacobian = jax.jacfwd(rate)(state, time)
    matrix = jnp.eye(state.size, dtype=state.dtype) / length - jacobian
    return jnp.linalg.solve(matrix, slope - rate(state, time))


class FieldRows(DenseRows):
    r"""$w\,(u_t-f(u,t))$, or $w\,f(u)$ at rest, in all active voxels, $f$ of :func:`rate_of`: walls and mask are those of the operator.

    The network gives values at the voxels' centres, the project's own operator takes them from there, so that whatever shape the mask has
    and whatever holds at its walls is met by construction, and $r=0$ is the project's semi-discrete equation. The Jacobian is that of
    values with respect to parameters, voxel by voxel in reverse mode, and then the linearised rate applied to its columns: a field of rows
    costs little more than as many points.

    Args:
        field: Value at a centre, by model and point ``(x, y, z)``, or value and time derivative by ``(x, y, z, t)``.
        rate: $f$ of a flat field and time.
        active: Which cells of the box are active.
        points: Centres of the active voxels; for each instant, where times are given.
        times: Instants, or None at rest.
        weights: $w$ per instant; one number at rest.
    """

    field: Function = eqx.field(static=True)
    rate: RateFunction
    active: Int[Array, " active"]
    points: Float[Array, "instants active axes"]
    times: Float[Array, " instants"]
    weights: Float[Array, " instants"]
    cells: int = eqx.field(static=True)
    rest: bool = eqx.field(static=True)

    def __init__(
        self,
        field: Function,
        equation: Equation | Stepper | Rate | Operator,
        grid: VoxelGrid,
        times: Float[Array, " instants"] | None = None,
        weight: float = 1.0,
    ) -> None:
        self.field, self.rate, self.rest = field, _Bound(equation), times is None
        self.cells = grid.mask.size
        self.active = jnp.asarray(np.flatnonzero(np.asarray(grid.mask)))  # by NumPy: under a trace its number must be known
        axes = jnp.meshgrid(*grid.centres(), indexing="ij")
        centres = jnp.stack([axis.reshape(-1)[self.active] for axis in axes], axis=1)
        self.times = jnp.zeros(1) if times is None else times
        count = self.times.shape[0]
        points = jnp.broadcast_to(centres[None], (count, *centres.shape))
        when = jnp.broadcast_to(self.times[:, None, None], (count, centres.shape[0], 1))
        self.points = points if times is None else jnp.concatenate([points, when], axis=2)
        self.weights = jnp.full(count, weight / (count * centres.shape[0]) ** 0.5)

    def _missing(self, values: Float[Array, "active parts"], time: Float[Array, ""]) -> Float[Array, " active"]:
        """The residual of one instant from values (and slopes) of the active voxels."""
        full = jnp.zeros(self.cells, values.dtype).at[self.active].set(values[:, 0])
        rate = self.rate(full, time)[self.active]
        return rate if self.rest else values[:, 1] - rate

    def residuals(self, model: PyTree) -> Float[Array, " rows"]:
        """See :class:`twinsim.informed.rows.DenseRows`."""
        found = jax.vmap(jax.vmap(lambda point: self.field(model, point).reshape(-1)))(self.points)
        return (self.weights[:, None] * jax.vmap(self._missing)(found, self.times)).reshape(-1)

    def linearised(
        self, vector: Parameters, restore: Callable[[Parameters], PyTree]
    ) -> tuple[Float[Array, " rows"], Float[Array, "rows parameters"]]:
        """See :class:`twinsim.informed.rows.DenseRows`."""
        count, active, axes = self.points.shape
        values, slopes = each_linearised(self.field, self.points.reshape(-1, axes), vector, restore)
        values, slopes = values.reshape(count, active, -1), slopes.reshape(count, active, -1, vector.size)

        def instant(found: Array, columns: Array, time: Array) -> tuple[Array, Array]:
            missing, push = jax.linearize(lambda at: self._missing(at, time), found)
            return missing, jax.vmap(push, in_axes=2, out_axes=1)(columns)

        missing, jacobian = jax.vmap(instant)(values, slopes, self.times)
        jacobian = self.weights[:, None, None] * jacobian
        return (self.weights[:, None] * missing).reshape(-1), jacobian.reshape(-1, vector.size)


class _Bound(eqx.Module):
    """The rate of an equation that travels with it as a pytree, so that its arrays are arguments and not constants of a program."""

    equation: Equation | Stepper | Rate | Operator

    def __call__(self, state: Any, time: Any) -> Any:
        return rate_of(self.equation)(state, time)
