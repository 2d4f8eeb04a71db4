"""Piecewise-linear response of prostate cancer to intermittent androgen deprivation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.parameters import Parameter, ParameterSet

Scalar = Float[Array, ""]
Intervals = Float[Array, " intervals"]

_RANGES = "Hirata 2010, as in public code of the model (Everett 2014, Biosci Trends 8, 205): middle of its range; not read in print"

HIRATA2010 = ParameterSet(
    "Hirata2010",
    decay_1_on=Parameter(0.05, "1/day", (0.0, 1.0), f"{_RANGES}, -w11 on"),
    transfer_21_on=Parameter(0.0012, "1/day", (0.0, 0.1), f"{_RANGES}, w21 on"),
    decay_2_on=Parameter(0.007, "1/day", (-0.1, 0.1), f"{_RANGES}, -w22 on"),
    transfer_31_on=Parameter(0.0006, "1/day", (0.0, 0.1), f"{_RANGES}, w31 on"),
    transfer_32_on=Parameter(0.0001, "1/day", (0.0, 0.1), f"{_RANGES}, w32 on: 0 there, small here"),
    growth_3_on=Parameter(0.0025, "1/day", (-0.1, 0.1), f"{_RANGES}, w33 on"),
    growth_1_off=Parameter(0.002, "1/day", (-0.1, 0.2), f"{_RANGES}, w11 off"),
    transfer_12_off=Parameter(0.1, "1/day", (0.0, 1.0), f"{_RANGES}, w12 off"),
    growth_2_off=Parameter(0.005, "1/day", (-0.1, 0.2), f"{_RANGES}, w22 off"),
    growth_3_off=Parameter(-0.025, "1/day", (-1.0, 0.1), f"{_RANGES}, w33 off"),
)


class HirataTanaka(eqx.Module):
    r"""Three kinds of cells, linear on therapy and linear off it; PSA is their sum.

    $$\text{on: }\dot x = \begin{pmatrix} w_{11}&&\\ w_{21}&w_{22}&\\ w_{31}&w_{32}&w_{33}\end{pmatrix}x, \qquad
    \text{off: }\dot x = \begin{pmatrix} w_{11}&w_{12}&\\ &w_{22}&\\ &&w_{33}\end{pmatrix}x, \qquad \text{PSA} = x_1+x_2+x_3$$

    $x_1$ depends on androgens, $x_2$ is resistant by changes that are undone off therapy, $x_3$ by changes that are not. All are in the
    unit of PSA, ng/mL; all rates in 1/day. Good values: :data:`HIRATA2010`.

    `transfer_32_on` is $w_{32}$ on therapy; None leaves it out. `washout` is an addition: the days for which the last depot goes on to
    act, so that the matrix of therapy holds so much longer than therapy; zero gives the published model.

    It fails where growth saturates, and where PSA per cell changes (flare in the first days of therapy). Source: Hirata, Bruchovsky and
    Aihara (2010), *J Theor Biol* 264, 517, equations 1 and 2.
    """

    decay_1_on: Scalar
    transfer_21_on: Scalar
    decay_2_on: Scalar
    transfer_31_on: Scalar
    transfer_32_on: Scalar | None
    growth_3_on: Scalar
    growth_1_off: Scalar
    transfer_12_off: Scalar
    growth_2_off: Scalar
    growth_3_off: Scalar
    washout: Scalar

    def on(self, days: Intervals) -> Float[Array, "intervals 3 3"]:
        """Exact solution matrices of therapy."""
        a11, a21, a22, a31, a32, a33 = self._on(days)
        zero = jnp.zeros_like(days)
        return _matrices([[a11, zero, zero], [a21, a22, zero], [a31, a32, a33]])

    def off(self, days: Intervals) -> Float[Array, "intervals 3 3"]:
        """Exact solution matrices without therapy."""
        b11, b12, b22, b33 = self._off(days)
        zero = jnp.zeros_like(days)
        return _matrices([[b11, b12, zero], [zero, b22, zero], [zero, zero, b33]])

    def rate(self, cells: Float[Array, "3 *batch"], treated: Scalar) -> Float[Array, "3 *batch"]:
        r"""$\dot x$, ng/mL/day, for :class:`physics.RateEquation`; ``treated`` is one while therapy acts and zero after it."""
        x1, x2, x3 = cells
        from_2 = 0.0 if self.transfer_32_on is None else self.transfer_32_on
        on = jnp.stack(
            [
                -self.decay_1_on * x1,
                self.transfer_21_on * x1 - self.decay_2_on * x2,
                self.transfer_31_on * x1 + from_2 * x2 + self.growth_3_on * x3,
            ]
        )
        off = jnp.stack([self.growth_1_off * x1 + self.transfer_12_off * x2, self.growth_2_off * x2, self.growth_3_off * x3])
        return treated * on + (1 - treated) * off

    def _on(self, days: Intervals) -> tuple[Intervals, ...]:
        """Entries 11, 21, 22, 31, 32 and 33 of the matrices of therapy."""
        first, second, third = -self.decay_1_on, -self.decay_2_on, self.growth_3_on
        into_2 = self.transfer_21_on * _difference(first, second, days)
        into_3 = self.transfer_31_on * _difference(first, third, days)
        from_2 = jnp.zeros_like(days)
        if self.transfer_32_on is not None:
            from_2 = self.transfer_32_on * _difference(second, third, days)
            through_2 = _difference(second, third, days) - _difference(first, second, days)
            # Divided difference of third order: first and third differ by far in every patient, the other pairs may coincide.
            into_3 += self.transfer_32_on * self.transfer_21_on * through_2 / (third - first)
        return jnp.exp(first * days), into_2, jnp.exp(second * days), into_3, from_2, jnp.exp(third * days)

    def _off(self, days: Intervals) -> tuple[Intervals, ...]:
        """Entries 11, 12, 22 and 33 of the matrices without therapy."""
        into_1 = self.transfer_12_off * _difference(self.growth_1_off, self.growth_2_off, days)
        return jnp.exp(self.growth_1_off * days), into_1, jnp.exp(self.growth_2_off * days), jnp.exp(self.growth_3_off * days)

    def states(
        self, times: Float[Array, " times"], since_stop: Float[Array, " times"], initial: Float[Array, "3"]
    ) -> Float[Array, "times 3"]:
        """The three kinds of cells at the times of a schedule.

        Args:
            times: Days, not decreasing; a time that is repeated pads.
            since_stop: At each time, days since therapy stopped, or minus one where therapy is on from that time to the next.
            initial: At the first time, ng/mL.
        """
        days = jnp.diff(times)
        stopped = since_stop[:-1]
        treated = jnp.where(stopped < 0, days, jnp.clip(self.washout - stopped, 0.0, days))
        a11, a21, a22, a31, a32, a33 = self._on(treated)
        b11, b12, b22, b33 = self._off(days - treated)
        # The product off times on, entry by entry: over a batch of patients tiny matrices cost more than the exponentials in them.
        entries = (b11 * a11 + b12 * a21, b12 * a22, b22 * a21, b22 * a22, b33 * a31, b33 * a32, b33 * a33)

        def step(cells: tuple[Scalar, ...], entries: tuple[Scalar, ...]) -> tuple[tuple[Scalar, ...], tuple[Scalar, ...]]:
            (x1, x2, x3), (m11, m12, m21, m22, m31, m32, m33) = cells, entries
            new = (m11 * x1 + m12 * x2, m21 * x1 + m22 * x2, m31 * x1 + m32 * x2 + m33 * x3)
            return new, new

        _, later = jax.lax.scan(step, (initial[0], initial[1], initial[2]), entries)
        return jnp.concatenate([initial[None], jnp.stack(later, 1)])


def _matrices(rows: list[list[Intervals]]) -> Float[Array, "intervals 3 3"]:
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def _difference(a: Scalar, b: Scalar, days: Intervals) -> Intervals:
    """Divided difference of the exponential: (e^{a t} - e^{b t}) / (a - b), and t e^{a t} where the rates coincide."""
    u = (a - b) * days
    small = jnp.abs(u) < 1e-4
    ratio = jnp.where(small, 1 + u / 2 + u**2 / 6, jnp.expm1(jnp.where(small, 1.0, u)) / jnp.where(small, 1.0, u))
    return jnp.exp(b * days) * days * ratio
