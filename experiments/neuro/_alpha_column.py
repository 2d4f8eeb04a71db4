"""One column of neuro/alpha_rhythm over its input: where it rests, its rhythms, and what their frequency depends on."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physics import JansenRit
from solvers import OrbitBranch, monodromy, orbit_branch, over_period, periodic_orbit
from twinsim.errors import InputError

ALONE = np.zeros(1)  # what a column hears of others
POTENTIALS_MV = (-15.0, 30.0, 4001)  # y1 - y2 of the rests that are looked at
HALVINGS = 52
FINE = 1e-4  # half the relative change of a central difference: its own error is some 1e-8
PARAMETERS = (
    "excitatory_rate",
    "inhibitory_rate",
    "input",
    "half_rate",
    "excitatory_gain",
    "inhibitory_gain",
    "half_potential",
    "steepness",
    "synapses",
)


@dataclass(frozen=True, eq=False)
class Rests:
    """Fixed points over the potential y1 - y2, and where their stability changes.

    Attributes:
        potential: mV, ``(rests,)``.
        input: 1/ms, of each.
        unstable: Eigenvalues of each with a positive real part.
        folds: Inputs at which two rests meet, 1/ms, and their potentials, ``(folds, 2)``.
        hopf: The same of Hopf points, by their input.
        hopf_states: ``(points, variables)``.
    """

    potential: np.ndarray
    input: np.ndarray
    unstable: np.ndarray
    folds: np.ndarray
    hopf: np.ndarray
    hopf_states: np.ndarray


def rests(mass: JansenRit, span: tuple[float, float]) -> Rests:
    """All within a span of inputs; eigenvalues of the Jacobian by forward mode, changes of their number by bisection in the potential."""

    @jax.jit
    def at(potential: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        drive, state = mass.equilibrium(potential)
        return drive, state, jax.jacfwd(lambda s: rates(mass, drive, s))(state)

    def unstable(matrix: np.ndarray) -> np.ndarray:
        return (np.real(np.linalg.eigvals(np.asarray(matrix))) > 0).sum(axis=-1)

    potential = np.linspace(*POTENTIALS_MV)
    drive, _, matrices = jax.vmap(at)(jnp.asarray(potential))
    count, drive = unstable(matrices), np.asarray(drive)
    folds, hopf = [], []
    for k in np.flatnonzero(np.diff(count)):
        low, high = potential[k], potential[k + 1]
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if unstable(at(jnp.asarray(middle))[2]) == count[k] else (low, middle)
        where, state, _ = at(jnp.asarray(low))
        if span[0] <= where <= span[1]:
            (hopf if abs(count[k + 1] - count[k]) == 2 else folds).append((float(where), low, np.asarray(state)))
    folds.sort(key=lambda one: one[0])
    hopf.sort(key=lambda one: one[0])
    inside = (drive >= span[0]) & (drive <= span[1])
    return Rests(
        potential[inside],
        drive[inside],
        count[inside],
        np.array([one[:2] for one in folds]).reshape(-1, 2),
        np.array([one[:2] for one in hopf]).reshape(-1, 2),
        np.array([one[2] for one in hopf]).reshape(-1, 6),
    )


def rates(mass: JansenRit, drive: jax.Array, state: jax.Array) -> jax.Array:
    """Of a column alone at an input."""
    return eqx.tree_at(lambda one: one.input, mass, drive).rates(state, jnp.asarray(ALONE))


def scales(mass: JansenRit) -> np.ndarray:
    """Sizes of the variables: half of what full firing makes of each."""
    full = 2 * float(mass.half_rate)
    excited, inhibited = (float(gain / rate) for gain, rate in _synapses(mass))
    sizes = 0.5 * full * np.array([excited, 0.8 * float(mass.synapses) * excited, 0.25 * float(mass.synapses) * inhibited])
    return 0.1 * np.concatenate([sizes, sizes * [float(mass.excitatory_rate)] * 2 + [float(mass.inhibitory_rate)]])


def _synapses(mass: JansenRit) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    return (mass.excitatory_gain, mass.excitatory_rate), (mass.inhibitory_gain, mass.inhibitory_rate)


def rhythms(mass: JansenRit, found: Rests, span: tuple[float, float], longest_ms: float, steps: int) -> list[OrbitBranch]:
    """Families of periodic orbits from every Hopf point that is not the end of an earlier one."""
    families: list[OrbitBranch] = []
    size = scales(mass)
    for (drive, _), state in zip(found.hopf, found.hopf_states, strict=True):
        ends = [family.parameter[-1] for family in families if family.ended == "amplitude"]
        if any(drive == min(found.hopf[:, 0], key=lambda one, end=end: abs(one - end)) for end in ends):
            continue
        families.append(orbit_branch(lambda p, s: rates(mass, p, s), float(drive), state, size, span, longest_ms, steps))
    return families


def stable(family: OrbitBranch) -> np.ndarray:
    """Which orbits of a family attract: one multiplier is one, and the second is the largest that counts."""
    others = np.abs(family.multipliers).copy()
    nearest = np.argmin(np.abs(family.multipliers - 1), axis=1)
    others[np.arange(len(others)), nearest] = 0
    return others.max(axis=1) < 1


def signal(states: np.ndarray) -> np.ndarray:
    """y1 - y2, mV."""
    return states[..., 1] - states[..., 2]


@dataclass(frozen=True, eq=False)
class Rhythm:
    """One stable orbit.

    Attributes:
        frequency_hz: Its.
        states: Over a period, ``(times, variables)``.
        multiplier: Modulus of the largest of Floquet's but the one that is one.
        elasticity: Of the frequency to each of PARAMETERS, percent per percent, exact.
        differences: The same by central differences of the orbit found again.
    """

    frequency_hz: float
    states: np.ndarray
    multiplier: float
    elasticity: np.ndarray
    differences: np.ndarray


def rhythm(mass: JansenRit, families: list[OrbitBranch], steps: int) -> Rhythm:
    """The fastest stable orbit at the mass's own input, from the nearest of a family.

    Raises:
        InputError: No stable orbit at this input.
    """
    drive = float(mass.input)
    near = []
    for family in families:
        kept = stable(family)
        for k in range(len(family.parameter) - 1):
            low, high = sorted(family.parameter[k : k + 2])
            if kept[k] and kept[k + 1] and low <= drive <= high:
                near.append((family.period[k], family.states[k]))
    if not near:
        raise InputError(
            f"--input-per-s {1000 * drive:g}", "an input at which the column oscillates", "choose one of the figure, such as 220"
        )
    period, path = min(near, key=lambda one: one[0])
    size = jnp.asarray(scales(mass))
    own = jnp.stack([getattr(mass, name) for name in PARAMETERS])

    def given(numbers: jax.Array) -> JansenRit:
        return eqx.tree_at(lambda one: [getattr(one, name) for name in PARAMETERS], mass, list(numbers))

    def field(numbers: jax.Array, state: jax.Array) -> jax.Array:
        return given(numbers).rates(state, jnp.asarray(ALONE))

    speeds = np.asarray(jax.vmap(lambda s: field(own, s) / size)(jnp.asarray(path)))
    start = jnp.asarray(path[int(np.argmax(np.linalg.norm(speeds, axis=1)))])

    def frequency(logs: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
        orbit = periodic_orbit(field, own * jnp.exp(logs), start, period, size, steps)
        return jnp.log(1000 / orbit.period), (orbit.state, orbit.period, orbit.change)

    here = jnp.zeros(len(PARAMETERS))
    both = jax.jit(jax.value_and_grad(frequency, has_aux=True))
    (log_frequency, (state, period, change)), slopes = both(here)
    if not (float(change) < 1e-8 and float(period) > 0):
        raise InputError(f"--input-per-s {1000 * drive:g}", "an orbit that Newton's method finds", "choose an input farther from a fold")
    logs = [[float(both(here.at[k].set(step))[0][0]) for step in (FINE, -FINE)] for k in range(len(PARAMETERS))]
    values = np.linalg.eigvals(np.asarray(monodromy(field, own, state, period, steps)))
    multiplier = float(np.abs(np.delete(values, np.argmin(np.abs(values - 1)))).max())
    states = np.asarray(over_period(field, own, state, period, steps))
    return Rhythm(float(jnp.exp(log_frequency)), states, multiplier, np.asarray(slopes), np.array([(a - b) / (2 * FINE) for a, b in logs]))
