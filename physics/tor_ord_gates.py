"""Gates and channel states that Tomek et al. (2019) have otherwise than O'Hara and Rudy (2011)."""

import jax.numpy as jnp
from jax.nn import sigmoid
from jaxtyping import Array, Float

from physics.cell_model import Cells
from physics.ohara_rudy_gates import Listed, calcium_gates
from physics.quotient import Quotient
from physics.sodium_inactivation import sodium_inactivation
from solvers import MarkovChain, stack_rows


def tor_ord_sodium_gates(v: Cells, late_time: Float[Array, ""]) -> Listed:
    """m, h, j, hp, jp of the fast current, as Grandi et al. 2010 have it, and mL, hL, hLp of the late one."""
    m_constant = 0.1292 * jnp.exp(-(((v + 45.79) / 15.54) ** 2)) + 0.06487 * jnp.exp(-(((v - 4.823) / 51.12) ** 2))
    h_constant, j_constant = (rate.inverse.value for rate in sodium_inactivation(v, Quotient(sigmoid((v + 32) / 10))))
    late = jnp.broadcast_to(late_time, v.shape)
    h = sigmoid(-(v + 71.55) / 7.43) ** 2
    steady = [
        *(sigmoid((v + 56.86) / 9.03) ** 2, h, h, sigmoid(-(v + 77.55) / 7.43) ** 2, h),
        *(sigmoid((v + 42.85) / 5.264), sigmoid(-(v + 87.61) / 7.488), sigmoid(-(v + 93.81) / 7.488)),
    ]
    return steady, [m_constant, h_constant, j_constant, h_constant, 1.46 * j_constant, m_constant, late, 3 * late]


def tor_ord_calcium_gates(v: Cells, recovering: Cells, calcium: Cells, subspace: Cells) -> Listed:
    """d, ff, fs, fcaf, fcas, jca, nca_i, nca_ss, ffp, fcafp of the L-type current; unbinding is jca/ms, binding 500/ms."""
    old, constant = calcium_gates(v, recovering, subspace)
    inside = jnp.clip(v, -40.0, 31.4978)
    d = jnp.where(v < -40, 0.0, jnp.where(v < 31.4978, 1.0763 * jnp.exp(-1.007 * jnp.exp(-0.0829 * inside)), 1.0))
    bound = [1 / (1 + recovering / 500 * (1 + 0.002 / beside) ** 4) for beside in (calcium, subspace)]
    steady = [d, *old[1:5], sigmoid(-(v + 18.08) / 2.7916), *bound, *old[7:]]
    return steady, [*constant[:5], jnp.full_like(v, 72.5), constant[6], constant[6], *constant[7:]]


def tor_ord_rapid_channel(reduced: Cells) -> MarkovChain:
    """C3, C2, C1, O, I of IKr, as Lu et al. 2001 have it; ``reduced`` is VF/(RT)."""
    one = jnp.ones_like(reduced)
    ahead, back = 0.0578 * jnp.exp(0.971 * reduced), 0.000349 * jnp.exp(-1.062 * reduced)
    shut, reopened = 0.2533 * jnp.exp(0.5953 * reduced), 0.06525 * jnp.exp(-0.8209 * reduced)
    across = 5.2e-5 * jnp.exp(1.525 * reduced)
    rates = {
        (0, 1): 0.1161 * jnp.exp(0.299 * reduced),
        (1, 0): 0.2442 * jnp.exp(-1.604 * reduced),
        (1, 2): 0.154375 * one,
        (2, 1): 0.1911 * one,
        (2, 3): ahead,
        (3, 2): back,
        (3, 4): shut,
        (4, 3): reopened,
        (2, 4): across,
        (4, 2): back * reopened * across / (ahead * shut),
    }
    return MarkovChain(stack_rows(list(rates.values())), tuple(rates))
