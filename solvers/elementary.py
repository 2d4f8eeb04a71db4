"""Exponentials and logarithms by short polynomials: where a loop does little else, twice as fast on a CPU as the library's."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

Values = Float[Array, "*shape"]

# Interpolants at Chebyshev nodes, coefficients rounded from 50 digits: (e^r - 1 - r)/r^2 on |r| <= log(2)/2, and q of log below.
_OF_EXP = {
    32: (0.5, 0.1666657695378877, 0.04166655457234514, 0.008363185031533224, 0.0013926191056242137),
    64: (
        *(0.5000000000000001, 0.16666666666666669, 0.041666666666624094, 0.00833333333333006, 0.0013888888917230724),
        *(0.00019841269863066696, 2.4801521269532122e-05, 2.7557268439678e-06, 2.7620101012098e-07, 2.5100395159429243e-08),
    ),
}
_OF_LOG = {
    32: (0.6666668505073735, 0.39988775998063075, 0.2958015669497842),
    64: (
        *(0.666666666666667, 0.3999999999989938, 0.28571428626031065, 0.22222211125723262),
        *(0.1818288978615799, 0.15331699634642276, 0.146167211662876),
    ),
}
# log(2) in two parts, the first with so few digits that whole multiples of it are exact.
_LOG_2 = {32: (0.693359375, -2.12194440054690583e-4), 64: (6.93147180369123816490e-1, 1.90821492927058770002e-10)}
_LARGEST = {32: 87.0, 64: 708.0}
_MANTISSA = {32: 23, 64: 52}
_BIAS = {32: 127, 64: 1023}
_ROOT_HALF = {32: 0x3F3504F3, 64: 0x3FE6A09E00000000}  # its bits


@jax.custom_jvp
def exp(x: Values) -> Values:
    r"""$e^x$ to one unit in the last place, $2^n(1 + p(r))$ with $x = n\ln2 + r$.

    Arguments beyond 87 (float32) or 708 (float64) either way count as that: the result is large or small, never infinite or zero.
    Derivatives are exact. On anything but a CPU, and for other types, ``jnp.exp``, which has no such limit.
    """
    return _on_cpu(x, lambda x: _exp(x, 1.0), jnp.exp)


@jax.custom_jvp
def expm1(x: Values) -> Values:
    r"""$e^x - 1$, accurate near zero too; to 1.3 units in the last place. Limits as for :func:`exp`."""
    return _on_cpu(x, lambda x: _exp(x, 0.0), jnp.expm1)


@jax.custom_jvp
def log(x: Values) -> Values:
    r"""$\ln x$ of positive, normal, finite numbers, to one unit in the last place; of anything else the result means nothing.

    $x = 2^k(1+f)$ with $1+f$ around one, $s = f/(2+f)$, and $\ln(1+f) = f - s\,(f - s^2 q(s^2))$. A NaN stays one.
    """
    return _on_cpu(x, _log, jnp.log)


@jax.custom_jvp
def reciprocal(x: Values) -> Values:
    """1/x, whose derivative is told by the result, without another division."""
    return 1 / x


def rational_tanh(x: Values) -> Values:
    r"""$c\,(27 + c^2)/(27 + 9c^2)$ with $c = \mathrm{clip}(x, -3, 3)$: odd, within 0.024 of $\tanh x$; $\pm1$ from $\pm3$ on (rounded).

    The Padé approximant of order (3, 2), which reaches one at three with slope zero: value and slope are continuous everywhere, the second
    derivative jumps by a third of one there. One division, no exponential: for sigmoids whose shape is fitted anyway.
    """
    c = jnp.clip(x, -3, 3)
    return c * (1 / 9 + (8 / 3) / (3 + c * c))  # the same by partial fractions


exp.defjvps(lambda tangent, value, x: tangent * value)
expm1.defjvps(lambda tangent, value, x: tangent * (value + 1))
log.defjvps(lambda tangent, value, x: tangent * reciprocal(x))
reciprocal.defjvps(lambda tangent, value, x: -tangent * (value * value))


def _on_cpu(x: Array, ours: Callable[[Array], Array], library: Callable[[Array], Array]) -> Array:
    if x.dtype not in (jnp.float32, jnp.float64):
        return library(x)
    # The barrier: XLA takes sums and products for so cheap that it computes them again for every user of the result.
    return lax.platform_dependent(x, cpu=lambda x: lax.optimization_barrier(ours(x)), default=library)


def _exp(x: Array, one: float) -> Array:
    """e^x - 1 + ``one``."""
    size = jnp.finfo(x.dtype).bits
    number = x.dtype.type
    integer = jnp.int32 if size == 32 else jnp.int64
    x = jnp.clip(x, -_LARGEST[size], _LARGEST[size])
    # Adding 1.5 * 2^mantissa leaves the nearest whole number in the last bits, with its sign, and takes it away again.
    magic = number(1.5 * 2.0 ** _MANTISSA[size])
    moved = x * number(1 / np.log(2)) + magic
    whole = moved - magic
    high, low = _LOG_2[size]
    r = (x - whole * number(high)) - whole * number(low)
    part = r + r * r * _polynomial(_OF_EXP[size], r)
    bits = lax.bitcast_convert_type(moved, integer) + integer(_BIAS[size])
    scale = lax.bitcast_convert_type(lax.shift_left(bits, integer(_MANTISSA[size])), x.dtype)
    return scale * part + (scale - number(1.0 - one))


def _log(x: Array) -> Array:
    size = jnp.finfo(x.dtype).bits
    number = x.dtype.type
    integer = jnp.int32 if size == 32 else jnp.int64
    bits = lax.bitcast_convert_type(x, integer)
    whole = lax.shift_right_arithmetic(bits - integer(_ROOT_HALF[size]), integer(_MANTISSA[size]))
    f = lax.bitcast_convert_type(bits - lax.shift_left(whole, integer(_MANTISSA[size])), x.dtype) - 1
    s = f / (2 + f)
    z = s * s
    k = whole.astype(jnp.int32).astype(x.dtype)
    high, low = _LOG_2[size]
    found = k * number(high) + ((f - s * (f - z * _polynomial(_OF_LOG[size], z))) + k * number(low))
    return jnp.where(x != x, x, found)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """Pairs of pairs (Estrin's order), which do not wait for each other as Horner's do."""
    terms = [x.dtype.type(value) for value in coefficients]
    power = x
    while len(terms) > 1:
        terms = [terms[i] + terms[i + 1] * power if i + 1 < len(terms) else terms[i] for i in range(0, len(terms), 2)]
        power = power * power
    return terms[0]
