"""From the signals of one beat of heart and arm to what a wearable reports."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from physics.heart_and_arm import Signals
from twinsim.pulse_features import crossing, diastolic_wave, foot, mean, peak

OPENED = 0.02
"""Part of the peak flow at which the aortic valve counts as open."""

FEATURES = {
    "pre_ejection_period": "s", "pulse_arrival_time": "s", "pulse_transit_time": "s", "rise_time": "s", "peak_to_peak_time": "s",
    "stiffness_index": "m/s", "reflection_index": "1", "aortic_augmentation_index": "1", "brachial_systolic": "mmHg",
    "brachial_diastolic": "mmHg", "brachial_mean": "mmHg", "aortic_systolic": "mmHg", "aortic_diastolic": "mmHg",
    "pulse_pressure_amplification": "1", "stroke_volume": "mL", "cardiac_output": "L/min", "ejection_time": "s",
}  # fmt: skip
"""Names and units, in the order of :func:`features`."""

_KORTEKAAS = "from the R wave, 20 healthy below 50 years, mean 58.5 ms and 2 sd of 13.0: Kortekaas (2018), PLoS One 13, e0204105"
_WEISSLER = "Weissler, Harris, Schoenfeld (1968), Circulation 37, 149: men, 413 less 1.7 ms per beat a minute, at 50 to 100"
_MILLASSEAU = "Millasseau, Kelly, Ritter, Chowienczyk (2002), Clin. Sci. 103, 371: 21 to 68 years"
_WILLIAMS = "not hypertensive: Williams et al. (2018), Eur. Heart J. 39, 3021"
_KLABUNDE = "at rest: Klabunde (2021), Cardiovascular Physiology Concepts"
_MCENIERY = "brachial over aortic, 20 to 80 years: McEniery et al. (2005), J. Am. Coll. Cardiol. 46, 1753"
PUBLISHED = {
    "pre_ejection_period": (0.0325, 0.0845, _KORTEKAAS),
    "ejection_time": (0.22, 0.36, _WEISSLER),
    "stiffness_index": (5.0, 12.0, _MILLASSEAU),
    "brachial_systolic": (90.0, 140.0, _WILLIAMS),
    "brachial_diastolic": (60.0, 90.0, _WILLIAMS),
    "cardiac_output": (4.0, 8.0, _KLABUNDE),
    "stroke_volume": (50.0, 110.0, _KLABUNDE),
    "pulse_pressure_amplification": (1.1, 1.8, _MCENIERY),
}
"""Lowest and highest of healthy adults at rest, and where it is from; features without a range that we know are not judged."""


def features(signals: Signals, height: ArrayLike = 1.75) -> Float[Array, " features"]:
    """The values of :data:`FEATURES` for one beat; differentiable.

    Args:
        signals: From :meth:`physics.heart_and_arm.HeartAndArm.beat`.
        height: Of the person, m, for the stiffness index.

    Arrival: foot of the plethysmogram after the R wave; transit: less the pre-ejection period. Augmentation: what the aortic pressure rises
    after the peak of the flow, over its pulse. Ejection: between the two crossings of a fiftieth of the peak flow.
    """
    times, flow, beat = signals.times, signals.ejection, signals.times[-1]
    opened = crossing(times, flow, OPENED)
    closed = beat - crossing(times, flow[::-1], OPENED)
    arrival, floor = foot(times, signals.plethysmogram)
    top_time, top = peak(times, signals.plethysmogram)
    second_time, second = diastolic_wave(times, signals.plethysmogram)
    (_, aortic_high), (_, aortic_low) = peak(times, signals.aorta), _lowest(times, signals.aorta)
    (_, arm_high), (_, arm_low) = peak(times, signals.brachial), _lowest(times, signals.brachial)
    flow_time, _ = peak(times, flow)
    shoulder = jnp.interp(flow_time, times, signals.aorta)
    stroke = mean(flow) * beat
    aortic_pulse = aortic_high - aortic_low
    gap = second_time - top_time
    return jnp.stack(
        [
            opened, arrival, arrival - opened, top_time - arrival, gap, height / gap, (second - floor) / (top - floor),
            (aortic_high - shoulder) / aortic_pulse, arm_high, arm_low, mean(signals.brachial), aortic_high, aortic_low,
            (arm_high - arm_low) / aortic_pulse, stroke, stroke / beat * 0.06, closed - opened,
        ]
    )  # fmt: skip


def _lowest(times: Float[Array, " times"], values: Float[Array, " times"]) -> tuple[Array, Array]:
    time, value = peak(times, -values)
    return time, -value
