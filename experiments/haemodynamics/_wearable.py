"""Beat times, programs and figures of the wearable experiment."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from physics.coupled_arteries import CoupledState
from physics.heart_and_arm import PERSON, HeartAndArm, Signals, settled
from solvers.status import SimulationError, raise_for_status
from twinsim.errors import InputError
from twinsim.figure_style import BLUE, INK, SOFT, VERMILION, new_figure, quiet
from twinsim.pressure_record import r_waves
from twinsim.wearable_signals import FEATURES, PUBLISHED, features
from twinsim.wfdb_beats import read_beats
from twinsim.wfdb_record import read_wfdb, record_path

SHORTEST, LONGEST = 0.4, 1.6
"""s between beats that the model is meant for."""
NAMES = tuple(FEATURES)
Person = Mapping[str, Any]


def intervals_of(record: str, beats: int, heart_rate: float, variability_ms: float, seed: int) -> np.ndarray:
    """s between beats: of a record of the data set `wfdb`, or drawn round a heart rate.

    Drawn ones rise and fall with breathing (every fourth beat or so) and at random, half of the variance each.

    Raises:
        InputError: No data set or record, too few beats, or intervals outside of :data:`SHORTEST` to :data:`LONGEST`.
    """
    if record:
        path = record_path(record)
        read = read_wfdb(path)
        if path.with_suffix(".atr").is_file():
            times = read_beats(path.parent, path.name)[0] / read.signals[0].rate
        else:
            times = r_waves(read.signals[0].values, read.signals[0].rate)
        found = np.diff(times)[:beats]
        source = f"record {record}"
    else:
        random = np.random.default_rng(seed)
        breathing = np.sqrt(2) * np.sin(2 * np.pi * np.arange(beats) / 4.2 + random.uniform(0, 2 * np.pi))
        found = 60 / heart_rate + variability_ms / 1000 * np.sqrt(0.5) * (breathing + random.normal(size=beats))
        source = f"a heart rate of {heart_rate:g} with {variability_ms:g} ms"
    if len(found) < beats or found.min() < SHORTEST or found.max() > LONGEST:
        shown = f"{len(found)} intervals" + (f" of {found.min():.2f} to {found.max():.2f} s" if len(found) else "")
        raise InputError(f"{source}: {shown}", f"{beats} of {SHORTEST:g} to {LONGEST:g} s", "choose another record, rate or fewer beats")
    return found


def as_arrays(person: Person) -> dict[str, jax.Array]:
    """A person's numbers as arrays, so that one program serves all."""
    return {key: jnp.asarray(person[key], float) for key in PERSON}


@eqx.filter_jit
def one_beat(model: HeartAndArm, person: dict[str, jax.Array], state: CoupledState, height: jax.Array) -> tuple[Any, ...]:
    """State after it, signals, status and features of a beat."""
    after, signals, status = model.beat(person, state)
    return after, signals, status, features(signals, height)


@eqx.filter_jit
def one_beat_with_slopes(
    model: HeartAndArm, person: dict[str, jax.Array], state: CoupledState, height: jax.Array, along: tuple[Any, Any]
) -> tuple[Any, Any, Any, Any]:
    """As :func:`one_beat`, and how the state after it and the features change along directions (the first axis of ``along``)."""

    def outputs(person: dict[str, jax.Array], state: CoupledState) -> tuple[Any, Any]:
        after, signals, _ = model.beat(person, state)
        return after, features(signals, height)

    def push(one: tuple[Any, Any]) -> tuple[Any, Any]:
        return jax.jvp(outputs, (person, state), one)

    (after, values), slopes = jax.vmap(push, out_axes=(None, 0))(along)
    return after, values, *slopes


def settle(model: HeartAndArm, person: Person, beats: int, height: float) -> tuple[CoupledState, Signals, np.ndarray, float | None]:
    """Beats of one length from the start: state, signals and features of the last, and its change to the one before.

    Raises:
        InputError: A beat that failed.
    """
    given, tall, change = as_arrays(person), jnp.asarray(height), None
    state, signals, status, values = one_beat(model, given, model.start(given), tall)
    check(status)
    for _ in range(beats - 1):
        former = signals
        state, signals, status, values = one_beat(model, given, state, tall)
        check(status)
        change = float(settled(signals, former))
    return state, signals, np.asarray(values), change


def check(status: jax.Array) -> None:
    """Refuses a person whose circulation cannot be computed.

    Raises:
        InputError: With the cause.
    """
    try:
        raise_for_status(status)
    except SimulationError as error:
        raise InputError(
            str(error), "a circulation that can be computed", "raise --substeps, or bring the person's numbers nearer to 1"
        ) from None


def slopes_of(model: HeartAndArm, person: Person, keys: tuple[str, ...], beats: int, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Features after so many beats from the start, and their exact derivatives by the logarithm of each key, ``(keys, features)``.

    The derivative goes through all beats, the start included.
    """
    given = as_arrays(person)
    towards = {key: jnp.stack([given[key] * (key == one) for one in keys]) for key in given}
    state, pushed = jax.vmap(lambda one: jax.jvp(model.start, (given,), (one,)), out_axes=(None, 0))(towards)
    tall = jnp.asarray(height)
    state, values, pushed, slopes = one_beat_with_slopes(model, given, state, tall, (towards, pushed))
    for _ in range(beats - 1):
        state, values, pushed, slopes = one_beat_with_slopes(model, given, state, tall, (towards, pushed))
    return np.asarray(values), np.asarray(slopes)


def signal_figure(signals: Signals, values: Mapping[str, float]) -> Figure:
    """Pressures and plethysmogram of a beat, with the times that are read off."""
    figure = new_figure(5.2)
    upper, lower = figure.subplots(2, 1, sharex=True)
    times = np.asarray(signals.times)
    for wave, colour, label in (
        (signals.ventricle, SOFT, "left ventricle"), (signals.aorta, VERMILION, "aorta"), (signals.brachial, BLUE, "brachial artery"),
        (signals.finger, INK, "digital artery"),
    ):  # fmt: skip
        upper.plot(times, np.asarray(wave), color=colour, linewidth=1.4, label=label)
    volume = np.asarray(signals.plethysmogram)
    lower.plot(times, (volume - volume.min()) / np.ptp(volume), color=INK, linewidth=1.6)
    for key, label in (("pre_ejection_period", "valve opens"), ("pulse_arrival_time", "pulse arrives")):
        for axes in (upper, lower):
            axes.axvline(values[key], color=SOFT, linewidth=1, linestyle=(0, (2, 2)))
        lower.text(values[key], 0.92, f" {label}", fontsize=8)
    upper.set_ylabel("pressure (mmHg)")
    lower.set_ylabel("plethysmogram (of its pulse)")
    lower.set_xlabel("time from the R wave (s)")
    upper.legend(frameon=False, fontsize=8)
    quiet(upper)
    quiet(lower)
    return figure


def beat_figure(intervals: np.ndarray, arrival: np.ndarray, pressure: np.ndarray) -> Figure:
    """Arrival time and systolic pressure beat by beat."""
    figure = new_figure(4.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    moments = np.cumsum(intervals) - intervals
    upper.plot(moments, 1000 * arrival, "o-", color=VERMILION, markersize=3, linewidth=1)
    lower.plot(moments, pressure, "o-", color=BLUE, markersize=3, linewidth=1)
    upper.set_ylabel("arrival time (ms)")
    lower.set_ylabel("brachial systolic (mmHg)")
    lower.set_xlabel("time (s)")
    quiet(upper)
    quiet(lower)
    return figure


def published(values: Mapping[str, float]) -> dict[str, bool]:
    """Which features lie in the published range; those without one are left out."""
    return {name: bool(low <= values[name] <= high) for name, (low, high, _) in PUBLISHED.items()}
