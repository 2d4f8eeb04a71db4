"""Rosenbrock methods: linearly implicit Runge-Kutta steps for stiff equations, one factorisation a step and no Newton iteration."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from solvers.shapes import Scalar
from solvers.stiff.linear_structure import LinearStructure

Vector = Float[Array, "..."]
Field = Callable[[Scalar, Vector, PyTree], Vector]


@dataclass(frozen=True)
class Rosenbrock:
    r"""Coefficients of a stiffly accurate Rosenbrock method for $y' = f(t, y)$ in the form without matrix products.

    $$\Bigl(\tfrac{1}{h\gamma}I - J\Bigr)u_i = f\Bigl(t+\alpha_i h,\; y+\sum_{j<i}a_{ij}u_j\Bigr)
      + \sum_{j<i}\tfrac{c_{ij}}{h}u_j + h\,\gamma_i f_t,\qquad i=1..s$$

    with $J = f_y(t, y)$. The last stage is the step: $y_1 = y+\sum_{j<s}a_{sj}u_j + u_s$, and $u_s$ estimates the error of the
    embedded method, which is of one order less.

    Attributes:
        name: For messages and tables.
        order: Of the step.
        dense_order: Of the continuous extension between two steps.
        gamma: The diagonal coefficient.
        points: $\alpha_i$.
        slopes: $\gamma_i$, the weights of $f_t$.
        weights: Rows $a_{ij}$.
        couplings: Rows $c_{ij}$.
        dense: Rows of the continuous extension
            $y(\theta) = (1-\theta)y_0+\theta\bigl(y_1+(1-\theta)(q_1+\theta(q_2+\theta q_3))\bigr)$, $q_k = \sum_j d_{kj}u_j$;
            empty: cubic Hermite.

    Fails: A Jacobian that is not the derivative of the field (a field with ``stop_gradient`` inside) loses the order.
    Source: Hairer, Wanner (1996), *Solving Ordinary Differential Equations II*, section IV.7, equation 7.25.
    """

    name: str
    order: int
    dense_order: int
    gamma: float
    points: tuple[float, ...]
    slopes: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    couplings: tuple[tuple[float, ...], ...]
    dense: tuple[tuple[float, ...], ...] = ()


RODAS3 = Rosenbrock(
    name="RODAS3",
    order=3,
    dense_order=3,
    gamma=0.5,
    points=(0.0, 0.0, 1.0, 1.0),
    slopes=(0.5, 1.5, 0.0, 0.0),
    weights=((), (0.0,), (2.0, 0.0), (2.0, 0.0, 1.0)),
    couplings=((), (4.0,), (1.0, -1.0), (1.0, -1.0, -8 / 3)),
)
"""Four stages, order 3(2), L-stable; Sandu et al. (1997), Atmos. Environ. 31, 3459, table 3. For loose tolerances."""

RODAS4 = Rosenbrock(
    name="RODAS4",
    order=4,
    dense_order=3,
    gamma=0.25,
    points=(0.0, 0.386, 0.21, 0.63, 1.0, 1.0),
    slopes=(0.25, -0.1043, 0.1035, -0.0362, 0.0, 0.0),
    weights=(
        (),
        (1.544,),
        (0.9466785280815826, 0.2557011698983284),
        (3.314825187068521, 2.896124015972201, 0.9986419139977817),
        (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
        (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0),
    ),
    couplings=(
        (),
        (-5.6688,),
        (-2.430093356833875, -0.2063599157091915),
        (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
        (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
        (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
    ),
    dense=(
        (10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823, 1.025137723295662, 0.0),
        (-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386, -6.594389125716872, 0.0),
    ),
)
"""Six stages, order 4(3), L-stable; Hairer, Wanner (1996), section IV.10 (program RODAS, first set). The default."""

_SIXTH = (-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946)

RODAS5P = Rosenbrock(
    name="RODAS5P",
    order=5,
    dense_order=4,
    gamma=0.21193756319429014,
    points=(0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0),
    slopes=(0.21193756319429014, -0.42387512638858027, -0.3384627126235924, 1.8046452872882734, 2.325825639765069, 0.0, 0.0, 0.0),
    weights=(
        (),
        (3.0,),
        (2.849394379747939, 0.45842242204463923),
        (-6.954028509809101, 2.489845061869568, -10.358996098473584),
        (2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641),
        _SIXTH,
        (*_SIXTH, 1.0),
        (*_SIXTH, 1.0, 1.0),
    ),
    couplings=(
        (),
        (-14.155112264123755,),
        (-17.97296035885952, -2.859693295451294),
        (147.12150275711716, -1.41221402718213, 71.68940251302358),
        (165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306),
        (24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471),
        (30.91273214028599, -3.1208243349937974, 77.79954646070892, 34.28646028294783, -19.097331116725623, -28.087943162872662),
        (
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ),
    ),
    dense=(
        (
            25.948786856663858,
            -2.5579724845846235,
            10.433815404888879,
            -2.3679251022685204,
            0.524948541321073,
            1.1241088310450404,
            0.4272876194431874,
            -0.17202221070155493,
        ),
        (
            -9.91568850695171,
            -0.9689944594115154,
            3.0438037242978453,
            -24.495224566215796,
            20.176138334709044,
            15.98066361424651,
            -6.789040303419874,
            -6.710236069923372,
        ),
        (
            11.419903575922262,
            2.8879645146136994,
            72.92137995996029,
            80.12511834622643,
            -52.072871366152654,
            -59.78993625266729,
            -0.15582684282751913,
            4.883087185713722,
        ),
    ),
)
"""Eight stages, order 5(4), L-stable, few order losses on stiff problems; Steinebach (2023), BIT 63, 27. For tight tolerances."""


def rosenbrock_step(
    method: Rosenbrock, structure: LinearStructure, field: Field, args: PyTree, time: Scalar, length: Scalar, state: Vector
) -> tuple[Vector, Vector, list[Vector]]:
    """One step: the new state, the error estimate and the stages $u_i$.

    Differentiable in both modes at fixed ``length``: the solves carry their own rule, so that the derivative of the step reuses the
    factorisation, transposed in reverse mode, and the elimination is never differentiated.
    """
    inverse_length = 1 / length
    shift = inverse_length / method.gamma
    slope, entries = structure.linearise(lambda y: field(time, y, args), state)
    _, drift = jax.jvp(lambda t: field(t, state, args), (time,), (jnp.ones_like(time),))
    factors = structure.factor(lax.stop_gradient(entries), shift)

    def matrix(vector: Vector) -> Vector:
        return shift * vector - _multiply(structure, entries, vector)

    def solve(_: Any, right: Vector) -> Vector:
        return _solve(structure, factors, right)

    def solve_transposed(_: Any, right: Vector) -> Vector:
        return _solve_transposed(structure, factors, right)

    stages: list[Vector] = []
    point = state
    for i, (row, coupling) in enumerate(zip(method.weights, method.couplings, strict=True)):
        fresh = method.points[i] != 0 or any(row)
        point = _combined(state, row, stages, method.weights[i - 1] if i else (), point)
        right = field(time + method.points[i] * length, point, args) if fresh else slope
        if coupling:
            right = right + inverse_length * _sum(coupling, stages)
        if method.slopes[i]:
            right = right + length * method.slopes[i] * drift
        # The barrier keeps XLA from computing one stage again inside each component of the next.
        stages.append(lax.optimization_barrier(lax.custom_linear_solve(matrix, right, solve, solve_transposed)))
    return point + stages[-1], stages[-1], stages


# Compiled on their own only so that JAX traces them once for all stages; XLA inlines them.
@jax.jit
def _multiply(structure: LinearStructure, entries: PyTree, vector: Vector) -> Vector:
    return structure.multiply(entries, vector)


@jax.jit
def _solve(structure: LinearStructure, factors: PyTree, right: Vector) -> Vector:
    return structure.solve(factors, right)


@jax.jit
def _solve_transposed(structure: LinearStructure, factors: PyTree, right: Vector) -> Vector:
    return structure.solve_transposed(factors, right)


def dense_coefficients(
    method: Rosenbrock, field: Field, args: PyTree, time: Scalar, length: Scalar, start: Vector, end: Vector, stages: list[Vector]
) -> Float[Array, "coefficients ..."]:
    """The coefficients $q_k$ of the continuous extension over one step; see :func:`dense_value`."""
    if method.dense:
        return jnp.stack([_sum(row, stages) for row in method.dense])
    rise = end - start
    first = length * field(time, start, args) - rise
    second = rise - length * field(time + length, end, args)
    return jnp.stack([first, second - first])


def dense_value(coefficients: Float[Array, "coefficients ..."], start: Vector, end: Vector, part: Scalar) -> Vector:
    r"""The state at $t + \theta h$; $y(\theta) = (1-\theta)y_0+\theta(y_1+(1-\theta)(q_1+\theta(q_2+\dots)))$."""
    inner = coefficients[-1]
    for row in coefficients[-2::-1]:
        inner = row + part * inner
    return (1 - part) * start + part * (end + (1 - part) * inner)


def _combined(state: Vector, row: tuple[float, ...], stages: list[Vector], previous: tuple[float, ...], point: Vector) -> Vector:
    """State plus weighted stages; where the row only adds to the one before, that one's point goes on."""
    if previous and row[: len(previous)] == previous:
        return point + _sum(row[len(previous) :], stages[len(previous) :])
    return state + _sum(row, stages) if any(row) else state


def _sum(weights: tuple[float, ...], vectors: list[Vector]) -> Vector:
    terms = [weight * vector for weight, vector in zip(weights, vectors, strict=False) if weight]
    return sum(terms[1:], terms[0])
