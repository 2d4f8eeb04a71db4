"""Prostate cancer limited by the androgen in its cells: a cell-quota model of intermittent androgen deprivation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.parameters import Parameter, ParameterSet

Scalar = Float[Array, ""]
State = Float[Array, "6"]
Cells = tuple[Scalar, ...]
LOG_SENSITIVE, LOG_RESISTANT, LOG_PSA, QUOTA_SENSITIVE, QUOTA_RESISTANT, ANDROGEN = range(6)

_TABLE = "Portz, Kuang and Nagy 2012, AIP Adv 2, 011002, as in public code of the model; the printed table was not read"

PORTZ2012 = ParameterSet(
    "Portz2012",
    growth=Parameter(0.0265, "1/day", (0.0, 1.0), f"{_TABLE}, mu_m"),
    least_quota_sensitive=Parameter(0.41, "nmol/L", (0.0, 5.0), f"{_TABLE}, q_X"),
    least_quota_resistant=Parameter(0.182, "nmol/L", (0.0, 5.0), f"{_TABLE}, q_Y"),
    death_sensitive=Parameter(0.0185, "1/day", (0.0, 1.0), f"{_TABLE}, d_X"),
    death_resistant=Parameter(0.0175, "1/day", (0.0, 1.0), f"{_TABLE}, d_Y"),
    to_resistant=Parameter(0.00016, "1/day", (0.0, 0.1), f"{_TABLE}, c_1"),
    to_sensitive=Parameter(0.00012, "1/day", (0.0, 0.1), f"{_TABLE}, c_2"),
    half_to_resistant=Parameter(0.8, "nmol/L", (0.0, 10.0), f"{_TABLE}, K_1"),
    half_to_sensitive=Parameter(1.7, "nmol/L", (0.0, 10.0), f"{_TABLE}, K_2"),
    most_quota=Parameter(5.0, "nmol/L", (0.0, 20.0), f"{_TABLE}, q_m"),
    uptake=Parameter(0.27, "nmol/L/day", (0.0, 5.0), f"{_TABLE}, v_m"),
    half_uptake=Parameter(4.0, "nmol/L", (0.0, 50.0), f"{_TABLE}, v_h"),
    degradation=Parameter(0.09, "1/day", (0.0, 1.0), f"{_TABLE}, b"),
    secretion=Parameter(0.011, "1/day", (0.0, 1.0), f"{_TABLE}, sigma_0"),
    secretion_sensitive=Parameter(0.085, "1/day", (0.0, 1.0), f"{_TABLE}, sigma_X"),
    secretion_resistant=Parameter(0.198, "1/day", (0.0, 1.0), f"{_TABLE}, sigma_Y"),
    half_secretion_sensitive=Parameter(1.3, "nmol/L", (0.0, 10.0), f"{_TABLE}, rho_X"),
    half_secretion_resistant=Parameter(1.1, "nmol/L", (0.0, 10.0), f"{_TABLE}, rho_Y"),
    clearance=Parameter(0.08, "1/day", (0.0, 1.0), f"{_TABLE}, delta"),
)
HILL = 3  # n = m of the paper


class PortzKuangNagy(eqx.Module):
    r"""Androgen-sensitive cells $X$ and resistant cells $Y$ (both in ng/mL of PSA), androgen quotas $Q_X, Q_Y$ (nmol/L), PSA $P$ (ng/mL).

    $$\dot X = \mu(1-q_X/Q_X)X - d_X X - \lambda_1 X + \lambda_2 Y, \qquad \dot Y = \mu(1-q_Y/Q_Y)Y - d_Y Y + \lambda_1 X - \lambda_2 Y$$
    $$\dot Q = v_m\frac{q_m-Q}{q_m-q}\frac{A}{A+v_h} - \mu(Q-q) - bQ, \qquad
    \lambda_1 = c_1\frac{K_1^n}{Q_X^n+K_1^n}, \quad \lambda_2 = c_2\frac{Q_Y^n}{Q_Y^n+K_2^n}$$
    $$\dot P = \sigma_0(X+Y) + \sigma_X\frac{Q_X^m}{Q_X^m+\rho_X^m}X + \sigma_Y\frac{Q_Y^m}{Q_Y^m+\rho_Y^m}Y - \delta P$$

    The paper interpolates measured serum androgen $A$. A forecast has none, so here $\dot A = (A_\text{on}-A)/\tau_\text{fall}$ while
    therapy acts and $(A_\text{off}-A)/\tau_\text{rise}$ after it; it acts for `washout` days longer than it is given. Time in days. Good
    values: :data:`PORTZ2012`. It fails where resistance comes by another way than a lower need of androgen. Source: Portz, Kuang and Nagy
    (2012), *AIP Adv* 2, 011002, equations 1 to 9.

    States are advanced in the logarithms of $X, Y, P$ by classical Runge-Kutta with steps of a few days, serum androgen exactly: the
    fastest rate left is that of the quota, about 0.2/day, so steps must stay under ten days.
    """

    growth: Scalar
    least_quota_sensitive: Scalar
    least_quota_resistant: Scalar
    death_sensitive: Scalar
    death_resistant: Scalar
    androgen_off: Scalar
    androgen_on: Scalar
    rise_days: Scalar
    fall_days: Scalar
    washout: Scalar
    to_resistant: float = PORTZ2012["to_resistant"].value
    to_sensitive: float = PORTZ2012["to_sensitive"].value
    half_to_resistant: float = PORTZ2012["half_to_resistant"].value
    half_to_sensitive: float = PORTZ2012["half_to_sensitive"].value
    most_quota: float = PORTZ2012["most_quota"].value
    uptake: float = PORTZ2012["uptake"].value
    half_uptake: float = PORTZ2012["half_uptake"].value
    degradation: float = PORTZ2012["degradation"].value
    secretion: float = PORTZ2012["secretion"].value
    secretion_sensitive: float = PORTZ2012["secretion_sensitive"].value
    secretion_resistant: float = PORTZ2012["secretion_resistant"].value
    half_secretion_sensitive: float = PORTZ2012["half_secretion_sensitive"].value
    half_secretion_resistant: float = PORTZ2012["half_secretion_resistant"].value
    clearance: float = PORTZ2012["clearance"].value

    def rate(self, state: State, treated: Scalar) -> State:
        """Time derivative; `treated` is one while therapy acts and zero after it."""
        level, speed = self._serum(treated)
        androgen = state[ANDROGEN]
        slopes = self._slopes((state[0], state[1], state[2], state[3], state[4]), androgen)
        return jnp.stack([*slopes, (level - androgen) * speed])

    def states(
        self, times: Float[Array, " times"], since_stop: Float[Array, " times"], initial: State, substeps: int = 6
    ) -> Float[Array, "times 6"]:
        """States at the times of a schedule; arguments as in :meth:`HirataTanaka.states`, intervals of 32 days at most for 6 substeps.

        Steps end where therapy ceases to act: the treated part of an interval takes its share of the substeps, one at least.
        """
        days, stopped = jnp.diff(times), since_stop[:-1]
        treated = jnp.where(stopped < 0, days, jnp.clip(self.washout - stopped, 0.0, days))
        share = jax.lax.stop_gradient(treated / jnp.where(days > 0, days, 1.0))
        count = jnp.floor(share * (substeps - 1)) + jnp.where(share > 0, 1.0, 0.0)  # no step longer than days / (substeps - 1)
        lengths = treated / jnp.maximum(count, 1.0), (days - treated) / jnp.maximum(substeps - count, 1.0)

        def interval(cells: Cells, given: tuple[Scalar, Scalar, Scalar]) -> tuple[Cells, Cells]:
            on, off, count = given

            def step(index: Array, cells: Cells) -> Cells:
                acts = jnp.where(index < count, 1.0, 0.0).astype(on.dtype)
                return self._step(cells, acts, jnp.where(index < count, on, off))

            cells = jax.lax.fori_loop(0, substeps, step, cells)
            return cells, cells

        _, later = jax.lax.scan(interval, tuple(initial[i] for i in range(6)), (*lengths, count))
        return jnp.concatenate([initial[None], jnp.stack(later, 1)])

    def _step(self, cells: Cells, treated: Scalar, days: Scalar) -> Cells:
        level, speed = self._serum(treated)
        *state, androgen = cells
        kept = jnp.exp(-0.5 * days * speed)
        middle, end = level + (androgen - level) * kept, level + (androgen - level) * kept**2
        k1 = self._slopes(tuple(state), androgen)
        k2 = self._slopes(tuple(s + days / 2 * k for s, k in zip(state, k1, strict=True)), middle)
        k3 = self._slopes(tuple(s + days / 2 * k for s, k in zip(state, k2, strict=True)), middle)
        k4 = self._slopes(tuple(s + days * k for s, k in zip(state, k3, strict=True)), end)
        slopes = zip(state, k1, k2, k3, k4, strict=True)
        return (*(s + days / 6 * (a + 2 * b + 2 * c + d) for s, a, b, c, d in slopes), end)

    def _serum(self, treated: Scalar) -> tuple[Scalar, Scalar]:
        """The level that serum androgen goes to, and how fast."""
        level = treated * self.androgen_on + (1 - treated) * self.androgen_off
        return level, treated / self.fall_days + (1 - treated) / self.rise_days

    def _slopes(self, state: Cells, androgen: Scalar) -> Cells:
        """Time derivatives of all but the serum, one scalar each: in a batch these are long vectors, where a stack of six is not."""
        sensitive, resistant, psa, quota_s, quota_r = state
        forward = self.to_resistant * _falling(quota_s, self.half_to_resistant)
        back = self.to_sensitive * (1 - _falling(quota_r, self.half_to_sensitive))
        ratio = jnp.exp(resistant - sensitive)
        by_sensitive = self.secretion + self.secretion_sensitive * (1 - _falling(quota_s, self.half_secretion_sensitive))
        by_resistant = self.secretion + self.secretion_resistant * (1 - _falling(quota_r, self.half_secretion_resistant))
        return (
            self.growth * (1 - self.least_quota_sensitive / quota_s) - self.death_sensitive - forward + back * ratio,
            self.growth * (1 - self.least_quota_resistant / quota_r) - self.death_resistant - back + forward / ratio,
            jnp.exp(sensitive - psa) * (by_sensitive + ratio * by_resistant) - self.clearance,
            self._quota_rate(quota_s, self.least_quota_sensitive, androgen),
            self._quota_rate(quota_r, self.least_quota_resistant, androgen),
        )

    def _quota_rate(self, quota: Scalar, least: Scalar, androgen: Scalar) -> Scalar:
        room = (self.most_quota - quota) / (self.most_quota - least)
        return self.uptake * room * androgen / (androgen + self.half_uptake) - self.growth * (quota - least) - self.degradation * quota


def _falling(quota: Scalar, half: float) -> Scalar:
    return half**HILL / (quota**HILL + half**HILL)
