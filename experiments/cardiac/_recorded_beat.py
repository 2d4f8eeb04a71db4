"""A whole heart's beat as electrodes on a torso see it: differentiable in where and when it begins, velocities and how the heart lies."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import expm

from experiments.cardiac._ectopic_beat import low_pass
from experiments.cardiac._heart import INTRACELLULAR, Body, kinds_of
from physics import (
    TorsoConductivities,
    analytic_torso,
    electrocardiogram_of_activation,
    fibre_tensor,
    lead_fields,
    spline_coefficients,
    spline_values,
    squared_velocity,
    torso_solution,
    twelve_leads,
)
from solvers import TensorDiffusion, eikonal
from twinsim.gauss_newton import Evaluate
from twinsim.heart_folder import HeartRecord

SAMPLES = 240  # ms: the window of the QRS complex
BEFORE_MS = 20.0  # of it that lie before the onset in the data
# Frank's electrodes on the analytic torso, mm from the middle of the heart, at the height of V4: right and left side, front, back, between
# front and left, neck, left foot; and his weights of them. Frank (1956), Circulation 13, 737.
FRANK = {
    "I": (185.0, -25.0, -20.0),
    "E": (25.0, 83.0, -20.0),
    "C": (-64.5, 64.5, -20.0),
    "A": (-135.0, -25.0, -20.0),
    "M": (25.0, -133.0, -20.0),
    "H": (25.0, -25.0, 205.0),
    "F": (-80.0, 20.0, -330.0),
}
FRANK_WEIGHTS = np.array(
    [
        [-0.781, 0.0, 0.171, 0.610, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.345, -1.0, 0.655],
        [-0.264, -0.374, -0.231, 0.133, 0.736, 0.0, 0.0],
    ]
)
FRANK_LEADS = ("vx", "vy", "vz")


@dataclass(frozen=True, eq=False)
class Posed:
    """Parameters of a beat: where it begins (mm in the heart's frame), when (ms), logarithms of velocities, and how the heart lies."""

    places: np.ndarray
    times: np.ndarray
    log_velocities: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    log_gain: float

    @property
    def vector(self) -> np.ndarray:
        """All of them in a row."""
        return np.concatenate([self.places.ravel(), self.times, self.log_velocities, self.turn, self.shift, [self.log_gain]])

    @staticmethod
    def of(vector: np.ndarray, sites: int) -> "Posed":
        """The inverse of :attr:`vector`."""
        places, times, velocities, turn, shift, gain = np.split(vector, np.cumsum([3 * sites, sites, 3, 3, 3]))
        return Posed(places.reshape(sites, 3), times, velocities, turn, shift, float(gain[0]))


def prior_scale(sites: int) -> np.ndarray:
    """Standard deviation per parameter: places (mm), times (ms), log velocities, turn (rad), shift (mm), log gain."""
    groups = ((3 * sites, 12.0), (sites, 15.0), (3, 0.3), (3, 0.3), (3, 15.0), (1, 0.3))
    return np.concatenate([np.full(size, scale) for size, scale in groups])


class RecordedBeatModel:
    """From the parameters of a :class:`Posed` beat to leads.

    The torso is solved once, without the heart in it: muscle and blood conduct as the body does, so that the heart can be moved and turned
    by reading the electrodes' potentials elsewhere. Between its voxels these are cubic splines.
    """

    def __init__(self, made: Body, torso_mm: float) -> None:
        self.made, record = made, made.record
        self.heart = made.heart
        grid = self.heart.grid
        self.sites = len(record.places)
        electrodes, middle, muscle, blood = _in_the_body(record)
        plain = TorsoConductivities()
        alike = plain._replace(blood=plain.body, heart=plain.body)
        torso = analytic_torso(torso_mm, middle, muscle, blood, grid.voxel_volume, electrodes, conductivities=alike)
        solution = torso_solution(torso)
        solution.raise_for_status()
        self.iterations = int(np.asarray(solution.iterations).max())
        fields = np.asarray(solution.field).reshape(-1, *torso.grid.shape)
        coefficients = jnp.asarray(spline_coefficients(fields, np.asarray(torso.grid.mask)))
        intracellular = TensorDiffusion(grid, fibre_tensor(grid, *INTRACELLULAR, self.heart.fibres), closure="no flux")
        kernel = jnp.asarray(low_pass())
        positions = jnp.asarray(self.heart.positions().reshape(-1, 3))
        mask = jnp.asarray(np.asarray(grid.mask).reshape(-1))
        body = jnp.asarray(muscle - middle)
        active, layer = jnp.asarray(made.active), jnp.asarray(made.endocardium())
        h = float(grid.spacing[0])
        upstroke = jnp.asarray(np.r_[-85.0, np.full(SAMPLES - 1, 20.0)])[None]
        only = jnp.zeros(len(made.active), int)

        def seen_by(turn: Array, shift: Array, log_gain: Array) -> Array:
            rotation = expm(jnp.cross(jnp.eye(3), turn[None, :] * jnp.ones((3, 1))))
            world = jnp.asarray(middle)[None] + shift[None] + body @ rotation.T
            values = spline_values(coefficients, (world - jnp.asarray(torso.origin)[None]) / torso.grid.spacing[0])
            full = jnp.zeros((values.shape[0], grid.size), values.dtype).at[:, active].set(values)
            return jnp.exp(log_gain) * lead_fields(intracellular, full, grid.voxel_volume)[:, active]

        def activated(places: Array, times: Array, log_velocities: Array) -> Array:
            along, across, fast = jnp.exp(log_velocities)
            velocity = squared_velocity(grid, along, across, self.heart.fibres, layer, fast)
            tensors, start = velocity.reshape(-1, 3, 3), jnp.full(grid.size, jnp.inf)
            for site in range(self.sites):
                offset = positions - places[site][None]
                squared = jnp.sum(offset**2, axis=1)
                nearest = jax.lax.stop_gradient(jnp.min(jnp.where(mask, squared, jnp.inf)))
                weight = jnp.where(mask, jnp.exp((nearest - squared) / (2 * h**2)), 0)
                mean = jnp.einsum("k,kij->ij", weight, tensors) / weight.sum()
                arrival = jnp.sqrt(jnp.einsum("ki,ij,kj->k", offset, jnp.linalg.inv(mean), offset) + 1e-6) + times[site]
                ball = mask & (squared <= jnp.maximum(2.1 * h, jnp.sqrt(nearest) + 0.1 * h) ** 2)
                start = jnp.minimum(start, jnp.where(ball, arrival, jnp.inf))
            return eikonal(grid, start, squared_speed=velocity).times[active]

        def split(vector: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
            n = self.sites
            places, times, velocities, turn, shift, gain = jnp.split(vector, np.cumsum([3 * n, n, 3, 3, 3]))
            return places.reshape(n, 3), times, velocities, turn, shift, gain[0]

        def filtered(signals: Array) -> Array:
            return jax.vmap(lambda one: jnp.convolve(one, kernel, mode="same"))(signals)

        def leads(vector: Array) -> Array:
            places, times, velocities, turn, shift, gain = split(vector)
            fields = seen_by(turn, shift, gain)[:9]
            when = activated(places, times, velocities) + BEFORE_MS
            seen = electrocardiogram_of_activation(fields, when, only, upstroke, 1.0, SAMPLES)
            return filtered(twelve_leads(seen))

        def whole(vector: Array, shapes: Array) -> tuple[Array, Array]:
            places, times, velocities, turn, shift, gain = split(vector)
            fields, when = seen_by(turn, shift, gain), activated(places, times, velocities)
            seen = electrocardiogram_of_activation(fields, when + BEFORE_MS, kinds_of(when), shapes, 1.0, shapes.shape[1])
            return filtered(jnp.concatenate([twelve_leads(seen[:9]), jnp.asarray(FRANK_WEIGHTS, seen.dtype) @ seen[9:]])), when

        self.leads = jax.jit(leads)
        self.whole = jax.jit(whole)
        self.linearised = jax.jit(jax.jacfwd(lambda vector: (leads(vector),) * 2, has_aux=True))

    def usual(self, late: float = 0.0, early: float = 0.0) -> Posed:
        """The beat of the heart as it is, with the right ventricle's place (the last one) this much later, or the left ones."""
        times = np.array([time for _, time in self.made.record.places]) + early
        times[-1] += late - early
        return Posed(
            np.array([place for place, _ in self.made.record.places]), times, np.log([0.6, 0.3, 3.0]), np.zeros(3), np.zeros(3), 0.0
        )

    def evaluator(self, data: np.ndarray, error_mv: float, around: Posed) -> Evaluate:
        """Negative log-posterior, gradient and curvature in standard-normal coordinates around a beat, which is the prior's middle."""
        scale, centre = prior_scale(self.sites), around.vector
        size = len(centre)

        def evaluate(z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            slopes, leads = (np.asarray(part, float) for part in self.linearised(jnp.asarray(centre + scale * z)))
            residual = (leads - data).reshape(-1) / error_mv
            slopes = slopes.reshape(-1, size) * scale / error_mv
            return 0.5 * float(residual @ residual + z @ z), slopes.T @ residual + z, slopes.T @ slopes + np.eye(size)

        return evaluate


def _in_the_body(record: HeartRecord) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Twelve-lead and Frank's electrodes, the heart's middle, its muscle and blood in the axes of the body."""
    turn = record.directions.T
    positions = record.heart.positions()
    middle = record.frame.middle @ turn
    electrodes = np.concatenate([record.electrodes @ turn, middle + np.array(list(FRANK.values()))])
    muscle, blood = (positions[where] @ turn for where in (np.asarray(record.heart.grid.mask), record.blood > 0))
    return electrodes, middle, muscle, blood
