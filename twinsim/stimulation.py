"""Currents through the contacts of a lead: what they activate, and which are best under limits and doubt about conductivities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from physics import activated_share
from twinsim.errors import InputError

type Values = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

SOFTNESS = 0.1
"""Width of the smooth step in the logarithm of the field over the threshold that currents are optimised with."""
SAMPLED = 2000
"""Voxels of each region, drawn at random, that stand for all of it while optimising; volumes are reported from all of them."""


class Exposure(eqx.Module):
    r"""The field of 1 mA through each contact, under each of several conductivities, where it matters.

    Attributes:
        target: V/mm per mA in the voxels of the target, ``(scenarios, contacts, 3, voxels)``.
        avoided: The same in the region to be left alone.
        outside: The same in all other tissue.
        weights: Volume of each voxel of the three, mm³.
        threshold: V/mm.
    """

    target: Float[Array, "scenarios contacts 3 target"]
    avoided: Float[Array, "scenarios contacts 3 avoided"]
    outside: Float[Array, "scenarios contacts 3 outside"]
    weights: tuple[Float[Array, " target"], Float[Array, " avoided"], Float[Array, " outside"]]
    threshold: Float[Array, ""]

    def shares(self, milliampere: Float[Array, " contacts"]) -> tuple[Float[Array, " scenarios"], ...]:
        """Activated part of the target and of the avoided region (0 to 1), and activated volume outside over that of the target."""
        volumes = []
        for field, weight in zip((self.target, self.avoided, self.outside), self.weights, strict=True):
            square = (jnp.einsum("k,skcp->scp", milliampere, field) ** 2).sum(axis=1)
            over = 0.5 * jnp.log(square + 1e-18) - jnp.log(self.threshold)
            volumes.append(jax.nn.sigmoid(over / SOFTNESS) @ weight)
        whole, avoided, _ = (weight.sum() for weight in self.weights)
        return volumes[0] / whole, volumes[1] / avoided, volumes[2] / whole


class Regions(eqx.Module):
    """Which voxels of a box count: the target, what is to be left alone, and all others; of each a sample.

    Args:
        mask: Voxels that conduct, ``(x, y, z)``.
        target: Share of each voxel that belongs to the target, 0 to 1.
        avoided: Share that belongs to what is to be left alone.
        voxel_volume: mm³.

    Raises:
        InputError: The target or the region to avoid has no conducting voxel.
    """

    chosen: tuple[np.ndarray, np.ndarray, np.ndarray]
    weights: tuple[np.ndarray, np.ndarray, np.ndarray]

    def __init__(self, mask: np.ndarray, target: np.ndarray, avoided: np.ndarray, voxel_volume: float) -> None:
        flat, inside, away = mask.reshape(-1), target.reshape(-1), avoided.reshape(-1)
        for name, region in (("target", inside), ("avoided region", away)):
            if not (region[flat] > 0).any():
                raise InputError(f"a {name} without a conducting voxel in the box", "some of it in the box", "move the lead or the box")
        chosen, weights = [], []
        for share, count in ((inside, SAMPLED), (away, SAMPLED), (1 - inside, 2 * SAMPLED)):
            every = np.flatnonzero(flat & (share > 0))
            some = np.sort(np.random.default_rng(0).permutation(every)[:count])
            chosen.append(some)
            weights.append(voxel_volume * share[some] * share[every].sum() / share[some].sum())
        self.chosen, self.weights = (chosen[0], chosen[1], chosen[2]), (weights[0], weights[1], weights[2])

    def pick(self, field: Float[Array, "contacts 3 cells"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The field in these voxels."""
        first, second, third = (np.asarray(field[..., where]) for where in self.chosen)
        return first, second, third

    def exposure(self, picked: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], threshold: float) -> Exposure:
        """What was picked under several conductivities, together; threshold in V/mm."""
        target, avoided, outside = (jnp.asarray(np.stack(part)) for part in zip(*picked, strict=True))
        first, second, third = (jnp.asarray(weight, target.dtype) for weight in self.weights)
        return Exposure(target, avoided, outside, (first, second, third), jnp.asarray(threshold, target.dtype))


@dataclass(frozen=True)
class Limits:
    """What currents must keep to.

    Attributes:
        largest: mA per contact, in magnitude.
        total: mA, sum of the magnitudes.
        avoided_share: Of the region to avoid that may be activated under every scenario, 0 to 1.
        spill_weight: What activated volume outside costs, in units of covered target.
        mixed: Anodes allowed; else all contacts are cathodes.
    """

    largest: np.ndarray
    total: float
    avoided_share: float
    spill_weight: float = 0.1
    mixed: bool = False


@dataclass(frozen=True)
class Plan:
    """The best currents found.

    Attributes:
        milliampere: Per contact; negative for cathodes.
        objective: Worst over the scenarios of covered share less the cost of spill.
        feasible: Whether all limits hold, to 1e-6.
        starts: How many searches were run.
        agreeing: How many of them ended within 1 % of the best.
    """

    milliampere: np.ndarray
    objective: float
    feasible: bool
    starts: int
    agreeing: int


@eqx.filter_jit
def gains(exposed: Exposure, milliampere: Float[Array, " contacts"], spill_weight: Float[Array, ""]) -> tuple[Array, Array]:
    """Per scenario, covered share less the cost of spill; and the activated share of what is to be avoided."""
    covered, avoided, spilt = exposed.shares(milliampere)
    return covered - spill_weight * spilt, avoided


@eqx.filter_jit
def _slopes(exposed: Exposure, milliampere: Array, spill_weight: Array) -> tuple[Array, Array]:
    return jax.jacfwd(lambda current: gains(exposed, current, spill_weight))(milliampere)


def optimise_currents(exposed: Exposure, limits: Limits, starts: Sequence[np.ndarray] | None = None) -> Plan:
    r"""Maximises the worst scenario: $\max_{I,t}\,t$ with $g_s(I)\ge t$, $a_s(I)\le\bar a$, $|I_k|\le I_k^{max}$, $\sum_k|I_k|\le\bar I$.

    Sequential quadratic programming (SLSQP) with exact gradients by superposition from several starts, since neither $g$ nor the limits
    are convex: each contact alone, and all together at two strengths, unless starts are given.

    Raises:
        InputError: Limits that are not positive.
    """
    from scipy.optimize import minimize

    largest = np.asarray(limits.largest, float)
    count = largest.size
    if not (np.isfinite(largest).all() and (largest > 0).all() and limits.total > 0):
        raise InputError(f"largest currents {largest} and a total of {limits.total:g} mA", "all above zero", "check limits and pulse width")
    weight = jnp.asarray(limits.spill_weight)
    # Scaled so that all unknowns are of order one: a fraction of the largest useful current each.
    scale = float(min(limits.total, largest.max()))

    @lru_cache(maxsize=4)
    def values_at(key: bytes) -> tuple[np.ndarray, np.ndarray]:
        x = np.frombuffer(key)
        first, second = gains(exposed, jnp.asarray(-scale * x[:count]), weight)
        return np.asarray(first), np.asarray(second)

    @lru_cache(maxsize=4)
    def slopes_at(key: bytes) -> tuple[np.ndarray, np.ndarray]:
        x = np.frombuffer(key)
        first, second = _slopes(exposed, jnp.asarray(-scale * x[:count]), weight)
        return -scale * np.asarray(first), -scale * np.asarray(second)

    def values(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return values_at(np.asarray(x, float)[:count].tobytes())

    def slopes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return slopes_at(np.asarray(x, float)[:count].tobytes())

    def magnitude(x: np.ndarray) -> np.ndarray:
        return np.sqrt(x[:count] ** 2 + 1e-12) if limits.mixed else x[:count]

    constraints = [
        {
            "type": "ineq",
            "fun": lambda x: np.concatenate(
                [values(x)[0] - x[-1], limits.avoided_share - values(x)[1], [limits.total / scale - magnitude(x).sum()]]
            ),
            "jac": lambda x: np.block(
                [
                    [slopes(x)[0], -np.ones((len(values(x)[0]), 1))],
                    [-slopes(x)[1], np.zeros((len(values(x)[1]), 1))],
                    [-(x[:count] / magnitude(x) if limits.mixed else np.ones(count))[None], np.zeros((1, 1))],
                ]
            ),
        }
    ]
    bounds = [(-top / scale if limits.mixed else 0.0, top / scale) for top in largest] + [(None, None)]
    given = _starts(largest, limits) if starts is None else [np.asarray(start, float) for start in starts]
    ends = []
    for start in given:
        x = np.append(-start / scale, 0.0)
        x[-1] = values(x)[0].min()
        found = minimize(
            lambda x: -x[-1], x, jac=lambda x: np.append(np.zeros(count), -1.0), method="SLSQP",
            bounds=bounds, constraints=constraints, options={"maxiter": 100, "ftol": 1e-7},
        )  # fmt: skip
        ends.append(_kept(found.x[:count], limits, largest / scale, scale, values))
    ends.append(np.zeros(count))  # doing nothing keeps all limits
    scores = [_score(exposed, end, limits) for end in ends]
    best = int(np.argmax([score if ok else -np.inf for score, ok in scores]))
    top = scores[best][0]
    agreeing = sum(ok and score > top - 0.01 for score, ok in scores[:-1])
    return Plan(ends[best], top, scores[best][1], len(given), agreeing)


def _kept(x: np.ndarray, limits: Limits, top: np.ndarray, scale: float, values: Values) -> np.ndarray:
    """Currents drawn back along the ray to zero until they keep all limits, which a search may miss by its tolerance."""
    x = np.clip(x, -top if limits.mixed else 0.0, top)
    total = np.abs(x).sum() * scale
    x = x * min(1.0, limits.total / total) if total > 0 else x
    low, high = 0.0, 1.0
    if values(x)[1].max() <= limits.avoided_share:
        return -scale * x
    for _ in range(40):
        middle = (low + high) / 2
        within = values(middle * x)[1].max() <= limits.avoided_share
        low, high = (middle, high) if within else (low, middle)
    return -scale * low * x


def _starts(largest: np.ndarray, limits: Limits) -> list[np.ndarray]:
    count, found = largest.size, []
    found += [-0.25 * np.minimum(limits.total, largest) * unit for unit in np.eye(count)]
    found += [-strength * np.minimum(limits.total / count, largest) for strength in (0.15, 0.5)]
    return found


def _score(exposed: Exposure, milliampere: np.ndarray, limits: Limits) -> tuple[float, bool]:
    gained, avoided = gains(exposed, jnp.asarray(milliampere), jnp.asarray(limits.spill_weight))
    within = (np.abs(milliampere) <= limits.largest * (1 + 1e-6)).all() and np.abs(milliampere).sum() <= limits.total * (1 + 1e-6)
    return float(gained.min()), bool(within and float(avoided.max()) <= limits.avoided_share + 1e-6)


def brute_force(exposed: Exposure, limits: Limits, levels: Sequence[float]) -> Plan:
    """The best of all combinations of the given strengths (mA, cathodic negative) on the contacts: to check the search with."""
    every = np.array(list(product(levels, repeat=limits.largest.size)))
    every = every[(np.abs(every) <= limits.largest + 1e-9).all(axis=1) & (np.abs(every).sum(axis=1) <= limits.total + 1e-9)]
    weight = jnp.asarray(limits.spill_weight)

    def one(current: Array) -> tuple[Array, Array]:
        gained, avoided = gains(exposed, current, weight)
        return gained.min(), avoided.max()

    gained, avoided = (np.asarray(part) for part in jax.jit(lambda all_: jax.lax.map(one, all_))(jnp.asarray(every)))
    gained = np.where(avoided <= limits.avoided_share, gained, -np.inf)
    best = int(np.argmax(gained))
    return Plan(every[best], float(gained[best]), bool(np.isfinite(gained[best])), len(every), 1)


@dataclass(frozen=True)
class Effect:
    """What currents do under one set of conductivities, by sub-voxel volumes.

    Attributes:
        activated_mm3: All tissue above the threshold.
        covered: Share of the target.
        avoided: Share of the region to avoid.
        spill_mm3: Activated outside of the target.
    """

    activated_mm3: float
    covered: float
    avoided: float
    spill_mm3: float


def effect(
    strength: Float[Array, "x y z"], mask: Array, target: np.ndarray, avoided: np.ndarray, volume: float, threshold: float
) -> Effect:
    """Volumes of :func:`physics.activated_share` of a field's strength, V/mm, in the regions."""
    share = np.asarray(_share(strength, jnp.asarray(threshold), mask))
    conducts = np.asarray(mask)
    inside, away = target * conducts, avoided * conducts
    return Effect(
        volume * float(share.sum()),
        float((share * inside).sum() / inside.sum()),
        float((share * away).sum() / away.sum()),
        volume * float((share * (1 - target)).sum()),
    )


_share = jax.jit(activated_share, static_argnames="subvoxels")
