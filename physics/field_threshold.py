"""How strong a field must be to start a spike that arrives somewhere."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from physics.neuron import Neuron
from physics.neuron_stimulus import FieldStimulus, Pulses
from solvers import simulate

DOUBLINGS, HALVINGS = 20, 12


def field_thresholds(
    neuron: Neuron,
    potentials: Float[np.ndarray | Array, "cases compartments"],
    signs: Float[np.ndarray | Array, " cases"],
    durations: Float[np.ndarray | Array, " cases"],
    site: int,
    until: float,
    longest: float = 0.01,
    lowest: float = 1e-4,
    level: float = 0.0,
) -> np.ndarray:
    """Least amplitude in mA of one rectangular pulse, per case, after which the potential at a compartment exceeds ``level``.

    Args:
        neuron: At rest; its own stimuli and synapses act as well.
        potentials: Outside, mV per mA, of each case.
        signs: -1 for a cathode, 1 for an anode.
        durations: ms; pulses begin at zero.
        site: Where a spike must arrive; far from the electrode, not at an end that the field itself excites.
        until: ms: how long is waited.
        longest: Step, ms.
        lowest: mA, where the search begins; it doubles up to 2^20 times that and halves the interval 12 times, to 0.02 %.
        level: mV.

    Returns:
        NaN where no amplitude of the search starts a spike. Above the threshold there may be a second one, from where on the wave is
        blocked beside the electrode; the lowest found is returned. All cases run as one batch.
    """
    mesh = neuron.mesh([until], longest)
    start = neuron.initial_state()

    def fires(neuron: Neuron, potential: Array, amplitude: Array, duration: Array) -> Bool[Array, ""]:
        field = FieldStimulus(potential, Pulses(amplitude, jnp.zeros_like(duration), duration))
        stimulated = replace(neuron, stimuli=(*neuron.stimuli, field))
        seen = simulate(stimulated.stepper("staggered"), stimulated.staggered(start, longest), mesh, observe=lambda _, s: s[0, site])
        return jnp.any(seen.observations > level)

    every = jax.jit(jax.vmap(fires, (None, 0, 0, 0)))

    def observed(amplitudes: Array) -> Array:
        return every(neuron, jnp.asarray(potentials), amplitudes, jnp.asarray(durations))

    signs, least = np.asarray(signs, float), np.full(len(np.asarray(signs)), np.nan)
    amplitude = lowest
    for _ in range(DOUBLINGS + 1):
        fired = np.asarray(observed(jnp.asarray(signs * amplitude)))
        least = np.where(np.isnan(least) & fired, amplitude, least)
        if not np.isnan(least).any():
            break
        amplitude *= 2
    high = np.where(np.isnan(least), 0.0, least)
    low = np.where(high > lowest, high / 2, 0.0)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        fired = np.asarray(observed(jnp.asarray(signs * middle)))
        low, high = np.where(fired, low, middle), np.where(fired, middle, high)
    return np.where(np.isnan(least), np.nan, high)


def weiss_fit(durations: np.ndarray, thresholds: np.ndarray) -> tuple[float, float]:
    r"""Rheobase (unit of the thresholds) and chronaxie (ms) of $I = I_{rh}\,(1 + t_{ch}/t)$: charge against duration is a line.

    Source: Weiss (1901), Arch. Ital. Biol. 35, 413.
    """
    durations, thresholds = np.asarray(durations, float), np.asarray(thresholds, float)
    rheobase, charge = np.polyfit(durations, durations * thresholds, 1, w=1 / (durations * thresholds))
    return float(rheobase), float(charge / rheobase)
