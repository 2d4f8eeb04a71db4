"""Seizures of nobody: networks with a hidden map of epileptogenicity, and what depth electrodes record of them."""

from dataclasses import dataclass, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from physics import BrainNetwork, Connectome, DifferenceCoupling, Epileptor, monopole_gain
from twinsim.intracranial_recording import IntracranialRecording, log_envelope
from twinsim.prior import Prior, Values
from twinsim.seizure_inverse import SeizureModel

SCATTER_MM = 7.0  # of contacts about the centre of their region
EXTENT_MM = 10.0  # half the width of a region
SAMPLES = 200
FULL_MS, FULL_STEP_MS = 3000, 0.05
SETTLING_MS = 300
BAND_HZ, WINDOW_S, FULL_EVERY_S = (1.0, 200.0), 0.25, 0.014


@dataclass(frozen=True, eq=False)
class VirtualPatient:
    """Truth and data.

    Attributes:
        epileptogenicity: Hidden $x_0$ of each region.
        feature: ``(times, contacts)``.
        sources: Hidden activity ``(times, regions)``, for pictures.
    """

    epileptogenicity: np.ndarray
    feature: np.ndarray
    sources: np.ndarray


def contact_gain(connectome: Connectome, per_region: int, seed: int) -> np.ndarray:
    """Of contacts in every region, scattered about its centre: the inverse square of the distance, one within a region."""
    centres = np.asarray(connectome.centres, float)
    around = np.repeat(centres, per_region, axis=0)
    contacts = around + SCATTER_MM * np.random.default_rng([seed, 588]).normal(size=around.shape)
    return EXTENT_MM**2 * np.asarray(monopole_gain(contacts, centres, law="inverse square", nearest_mm=EXTENT_MM))


def plane_patient(
    model: SeizureModel, population: tuple[float, float], shared: tuple[Prior, ...], noise: float, key: jax.Array
) -> VirtualPatient:
    """From the fitted model itself, at half its step; parameters from their priors."""
    finer = replace(model, step=model.step / 2, every=2 * model.every)
    regions, contacts = model.gain.shape[1], model.gain.shape[0]
    x0, values, key = _drawn(population, shared, regions, key)
    sources = eqx.filter_jit(finer.sources)(x0, values, jnp.zeros((SAMPLES, contacts)), jnp.asarray(0.0))
    seen = values["offset"] + values["scale"] * sources @ model.gain.T
    return VirtualPatient(np.asarray(x0), np.asarray(seen + noise * jax.random.normal(key, seen.shape)), np.asarray(sources))


def full_patient(
    connectome: Connectome, gain: np.ndarray, population: tuple[float, float], shared: tuple[Prior, ...], noise: float, key: jax.Array
) -> VirtualPatient:
    """From six-dimensional Epileptors, seen as voltages whose envelopes are taken as of a recording: what the plane is not made for."""
    x0, values, key = _drawn(population, shared, connectome.regions, key)
    mass = eqx.tree_at(lambda one: one.epileptogenicity, Epileptor.published(), x0)
    edges = connectome.scaled().edges(np.inf, FULL_STEP_MS)
    network = BrainNetwork(mass, DifferenceCoupling(values["coupling"]), edges, FULL_STEP_MS)
    every = round(1 / FULL_STEP_MS)
    march = eqx.filter_jit(lambda net, state: net.march(state, FULL_MS * every, every=every, derivatives="forward"))
    solution = march(network, network.initial_state())
    solution.raise_for_status()
    states = np.asarray(solution.states)[SETTLING_MS:]
    voltage = gain @ (states[:, 3] - states[:, 0]).T
    voltage = voltage + noise * np.asarray(jax.random.normal(key, voltage.shape))
    names = tuple(str(number) for number in range(len(gain)))
    recording = IntracranialRecording("virtual", 1000.0, np.arange(len(states)) / 1000, voltage, names, None, {})
    _, feature = log_envelope(recording, BAND_HZ, WINDOW_S, FULL_EVERY_S)
    return VirtualPatient(np.asarray(x0), feature, states[:: round(1000 * FULL_EVERY_S), 0])


def _drawn(population: tuple[float, float], shared: tuple[Prior, ...], regions: int, key: jax.Array) -> tuple[jax.Array, Values, jax.Array]:
    first, second, third = jax.random.split(key, 3)
    x0 = population[0] + population[1] * jax.random.normal(first, (regions,))
    z = jax.random.normal(second, (len(shared),))
    return x0, {one.name: one.value(one_z) for one, one_z in zip(shared, z, strict=True)}, third
