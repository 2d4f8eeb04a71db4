"""A beat that starts at one place of the ventricles, as twelve leads see it: differentiable with respect to place, time and velocities."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from experiments.cardiac._heart import Body
from physics import electrocardiogram_of_activation, squared_velocity, twelve_leads
from solvers import eikonal
from twinsim.gauss_newton import Evaluate

SAMPLES = 220  # ms: depolarisation from anywhere is over by then
FILTER_MS = 3.0  # standard deviation of the low pass that data and model both go through: half power at 44 Hz
EARLIEST_MS = 10.0  # place of the onset in the window when its parameter is zero
PRIOR = {"place": 20.0, "log_along": 0.3, "log_across": 0.3, "onset": 5.0}
TYPICAL = (0.6, 0.3)  # m/s along and across the fibres


@dataclass(frozen=True)
class Beat:
    """One beat: the earliest place in mm in the heart's frame, velocities in m/s, and the onset in ms."""

    place: np.ndarray
    along: float
    across: float
    onset: float

    @property
    def parameters(self) -> Array:
        """Place, logarithms of the velocities, onset."""
        return jnp.asarray(np.r_[self.place, np.log([self.along, self.across]), self.onset])

    @staticmethod
    def of(parameters: np.ndarray) -> "Beat":
        """The inverse of :attr:`parameters`."""
        along, across = np.exp(parameters[3:5])
        return Beat(np.asarray(parameters[:3]), float(along), float(across), float(parameters[5]))


class BeatModel:
    """From the six parameters of a :class:`Beat` to the filtered leads ``(12, samples)`` on one heart.

    The front starts from the exact times in a ball of two voxels round the place, for the mean velocities there; so does a place outside of
    the muscle, later for its distance. One upstroke serves for all cells, since only depolarisation is looked at.
    """

    def __init__(self, made: Body) -> None:
        grid = made.heart.grid
        self.spacing = float(grid.spacing[0])
        self.muscle = made.heart.positions()[np.asarray(grid.mask)]
        positions = jnp.asarray(made.heart.positions().reshape(-1, 3))
        mask = jnp.asarray(np.asarray(grid.mask).reshape(-1))
        upstroke = jnp.asarray(np.r_[-85.0, np.full(SAMPLES - 1, 20.0)])[None]
        only = jnp.zeros(len(made.active), int)
        kernel = jnp.asarray(low_pass())

        def leads(parameters: Array) -> Array:
            along, across = jnp.exp(parameters[3]), jnp.exp(parameters[4])
            offset = positions - parameters[None, :3]
            squared = jnp.sum(offset**2, axis=1)
            # Velocities and fibres as they are on average near the place, with weights that change smoothly when it moves.
            nearest = jax.lax.stop_gradient(jnp.min(jnp.where(mask, squared, jnp.inf)))
            weight = jnp.where(mask, jnp.exp((nearest - squared) / (2 * self.spacing**2)), 0)
            velocity = squared_velocity(grid, along, across, made.heart.fibres)
            mean = jnp.einsum("k,kij->ij", weight, velocity.reshape(-1, 3, 3)) / weight.sum()
            arrival = jnp.sqrt(jnp.einsum("ki,ij,kj->k", offset, jnp.linalg.inv(mean), offset) + 1e-6)
            ball = mask & (squared <= jnp.maximum(2.1 * self.spacing, jnp.sqrt(nearest) + 0.1 * self.spacing) ** 2)
            times = eikonal(grid, jnp.where(ball, arrival, jnp.inf), squared_speed=velocity).times[made.active]
            seen = electrocardiogram_of_activation(made.fields, times + EARLIEST_MS + parameters[5], only, upstroke, 1.0, SAMPLES)
            return jax.vmap(lambda lead: jnp.convolve(lead, kernel, mode="same"))(twelve_leads(seen))

        self.leads = jax.jit(leads)
        # The leads beside their derivatives, which compute them anyway.
        self.linearised = jax.jit(jax.jacfwd(lambda parameters: (leads(parameters),) * 2, has_aux=True))

    def at(self, beat: Beat) -> np.ndarray:
        """The leads of a beat, mV."""
        return np.asarray(self.leads(beat.parameters))

    def inside(self, place: np.ndarray) -> np.ndarray:
        """The point of the muscle nearest to a place."""
        middle = self.muscle[np.argmin(np.linalg.norm(self.muscle - place, axis=1))]
        return middle + np.clip(place - middle, -self.spacing / 2, self.spacing / 2)

    def spread_places(self, apart_mm: float) -> np.ndarray:
        """Places of the muscle no two of which are nearer than this, and none farther from all."""
        found, distance = [self.muscle[0]], np.linalg.norm(self.muscle - self.muscle[0], axis=1)
        while distance.max() > apart_mm:
            found.append(self.muscle[distance.argmax()])
            distance = np.minimum(distance, np.linalg.norm(self.muscle - found[-1], axis=1))
        return np.stack(found)

    def evaluator(self, data: np.ndarray, noise_mv: float, around: Beat) -> Evaluate:
        """Negative log-posterior, gradient and curvature in standard-normal coordinates around a beat."""
        scale, centre = prior_scale(), np.asarray(around.parameters)
        expected = np.r_[np.zeros(3), (np.log(TYPICAL) - centre[3:5]) / scale[3:5], -centre[5] / scale[5]]

        def evaluate(z: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
            point = jnp.asarray(centre + scale * z)
            slopes, leads = (np.asarray(part) for part in self.linearised(point))
            residual = (leads - data).reshape(-1) / noise_mv
            slopes = slopes.reshape(-1, 6) * scale / noise_mv
            away = z - expected
            return 0.5 * float(residual @ residual + away @ away), slopes.T @ residual + away, slopes.T @ slopes + np.eye(6)

        return evaluate


def prior_scale() -> np.ndarray:
    """Standard deviations of the six parameters' prior."""
    return np.array([*[PRIOR["place"]] * 3, PRIOR["log_along"], PRIOR["log_across"], PRIOR["onset"]])


def low_pass() -> np.ndarray:
    """Weights of the low pass."""
    reach = round(5 * FILTER_MS)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / FILTER_MS) ** 2)
    return weights / weights.sum()
