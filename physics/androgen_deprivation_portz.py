"""Prostate cancer limited by the androgen in its cells: a cell-quota model of intermittent androgen deprivation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from physics.parameters import Parameter, ParameterSet

Scalar = Float[Array, ""]
State = Float[Array, "6"]
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

    States are advanced in the logarithms of $X, Y, P$ by classical Runge-Kutta with steps of a few days: the fastest rate is that of the
    quota, about 0.2/day, so steps must stay under ten days.
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
        sensitive, resistant = jnp.exp(state[LOG_SENSITIVE]), jnp.exp(state[LOG_RESISTANT])
        quota_s, quota_r, androgen = state[QUOTA_SENSITIVE], state[QUOTA_RESISTANT], state[ANDROGEN]
        forward = self.to_resistant * _falling(quota_s, self.half_to_resistant)
        back = self.to_sensitive * (1 - _falling(quota_r, self.half_to_sensitive))
        secreted = sensitive * (
            self.secretion + self.secretion_sensitive * (1 - _falling(quota_s, self.half_secretion_sensitive))
        ) + resistant * (self.secretion + self.secretion_resistant * (1 - _falling(quota_r, self.half_secretion_resistant)))
        androgen_rate = treated * (self.androgen_on - androgen) / self.fall_days
        androgen_rate += (1 - treated) * (self.androgen_off - androgen) / self.rise_days
        return jnp.stack(
            [
                self.growth * (1 - self.least_quota_sensitive / quota_s) - self.death_sensitive - forward + back * resistant / sensitive,
                self.growth * (1 - self.least_quota_resistant / quota_r) - self.death_resistant - back + forward * sensitive / resistant,
                secreted * jnp.exp(-state[LOG_PSA]) - self.clearance,
                self._quota_rate(quota_s, self.least_quota_sensitive, androgen),
                self._quota_rate(quota_r, self.least_quota_resistant, androgen),
                androgen_rate,
            ]
        )

    def states(
        self, times: Float[Array, " times"], since_stop: Float[Array, " times"], initial: State, substeps: int = 4
    ) -> Float[Array, "times 6"]:
        """States at the times of a schedule; arguments as in :meth:`HirataTanaka.states`, intervals under `substeps` times ten days."""
        days = jnp.diff(times)

        def interval(state: State, given: tuple[Scalar, Scalar]) -> tuple[State, State]:
            length, stopped = given
            treated = jnp.where(stopped < 0, length, jnp.clip(self.washout - stopped, 0.0, length))
            for part, acts in ((treated, jnp.ones(())), (length - treated, jnp.zeros(()))):
                state = jax.lax.fori_loop(0, substeps, lambda _, s, h=part / substeps, a=acts: self._step(s, a, h), state)
            return state, state

        _, later = jax.lax.scan(interval, initial, (days, since_stop[:-1]))
        return jnp.concatenate([initial[None], later])

    def _step(self, state: State, treated: Scalar, days: Scalar) -> State:
        k1 = self.rate(state, treated)
        k2 = self.rate(state + days / 2 * k1, treated)
        k3 = self.rate(state + days / 2 * k2, treated)
        k4 = self.rate(state + days * k3, treated)
        return state + days / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def _quota_rate(self, quota: Scalar, least: Scalar, androgen: Scalar) -> Scalar:
        room = (self.most_quota - quota) / (self.most_quota - least)
        return self.uptake * room * androgen / (androgen + self.half_uptake) - self.growth * (quota - least) - self.degradation * quota


def _falling(quota: Scalar, half: float) -> Scalar:
    return half**HILL / (quota**HILL + half**HILL)
