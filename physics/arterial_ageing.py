"""How healthy arteries and hearts change with age: published values, and what they make of the closed loop."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float


class AgeTable(NamedTuple):
    """A quantity by age.

    Attributes:
        ages: Years.
        middle: Mean or median, in ``unit``.
        low: One standard deviation below it.
        high: One above.
        unit: As the field writes it.
        source: Paper and table.
    """

    ages: tuple[float, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: str
    source: str

    def at(self, age: ArrayLike) -> Array:
        """Middle at an age, linear between those of the table and constant beyond."""
        return jnp.interp(jnp.asarray(age, float), jnp.array(self.ages), jnp.array(self.middle))

    def deviation(self, age: ArrayLike) -> Array:
        """Half of the way from low to high at an age."""
        half = (jnp.array(self.high) - jnp.array(self.low)) / 2
        return jnp.interp(jnp.asarray(age, float), jnp.array(self.ages), half)


TEN_TO_NINETY = 1.2816
"""Standard deviations from the median to the tenth or ninetieth percentile of a normal distribution."""


Years = tuple[float, ...]


def _percentiles(ages: Years, middle: Years, tenth: Years, ninetieth: Years, *words: str) -> AgeTable:
    low = tuple(m - (m - t) / TEN_TO_NINETY for m, t in zip(middle, tenth))
    high = tuple(m + (n - m) / TEN_TO_NINETY for m, n in zip(middle, ninetieth))
    return AgeTable(ages, middle, low, high, *words)


def _deviations(ages: tuple[float, ...], middle: tuple[float, ...], deviation: tuple[float, ...], *words: str) -> AgeTable:
    low, high = (tuple(m + side * d for m, d in zip(middle, deviation)) for side in (-1, 1))
    return AgeTable(ages, middle, low, high, *words)


_DECADES = (25.0, 35.0, 45.0, 55.0, 65.0, 75.0)
_ACCT = "McEniery et al. (2005), J. Am. Coll. Cardiol. 46, 1753, table 1, healthy men"
_CHARLTON = "as taken up by Charlton et al. (2019), Am. J. Physiol. Heart Circ. Physiol. 317, H1062"

PUBLISHED_AGE: Mapping[str, AgeTable] = {
    "pulse_wave_velocity": _percentiles(
        _DECADES,
        (6.0, 6.5, 6.8, 7.5, 8.7, 10.1),
        (5.2, 5.4, 5.8, 6.2, 7.0, 7.6),
        (7.0, 7.9, 8.5, 9.2, 11.4, 13.8),
        "m/s",
        "Reference Values for Arterial Stiffness' Collaboration (2010), Eur. Heart J. 31, 2338, table 5, optimal blood pressure: medians, "
        f"10th and 90th percentiles; {_CHARLTON}",
    ),
    "aortic_diameter": _deviations(
        (24.0, 34.0, 45.0, 57.0, 63.0, 73.0),
        (21.1, 22.4, 23.5, 23.4, 25.0, 24.9),
        (1.88, 1.99, 2.09, 2.08, 2.23, 2.22),
        "mm",
        f"Hickson et al. (2010), JACC Cardiovasc. Imaging 3, 1247, figure 4, descending thoracic aorta, {_CHARLTON}; deviation 8.9 %: "
        "Agmon et al. (2003), J. Am. Coll. Cardiol. 42, 1076",
    ),
    "cardiac_output": _deviations(
        (25.0, 35.0, 45.0, 55.0, 65.0),
        (6.6, 6.2, 5.8, 5.4, 5.0),
        (0.98, 0.98, 0.98, 0.98, 0.98),
        "L/min",
        f"Le et al. (2016), J. Cardiovasc. Magn. Reson. 18, 21, table 2, men, {_CHARLTON}; held beyond 65 years",
    ),
    "heart_rate": _deviations(
        (32.5, 42.5, 52.5, 62.5, 72.5),
        (75.6, 77.8, 77.4, 76.9, 75.1),
        (11.2, 11.2, 11.2, 11.2, 11.2),
        "1/min",
        f"Yashin et al. (2006), figure 1, men, {_CHARLTON}; deviation: Petersen et al. (2017), table 1",
    ),
    "systolic_pressure": _deviations(_DECADES, (105, 109, 113, 115, 117, 118), (8, 9, 9, 9, 9, 9), "mmHg", f"{_ACCT}: aortic"),
    "diastolic_pressure": _deviations(_DECADES, (75, 77, 79, 79, 78, 76), (8, 7, 6, 6, 6, 6), "mmHg", f"{_ACCT}: brachial"),
    "pulse_pressure": _deviations(_DECADES, (30, 31, 34, 35, 39, 42), (6, 6, 6, 7, 7, 7), "mmHg", f"{_ACCT}: aortic"),
    "mean_pressure": _deviations(_DECADES, (89, 92, 95, 95, 94, 93), (8, 8, 7, 7, 7, 7), "mmHg", _ACCT),
}
"""Men without disease, by age. The pressures are what the model is judged by; see :func:`aged_compliance` for what it is given."""


def aged_compliance(
    compliance: ArrayLike, share: ArrayLike, velocity: ArrayLike, area: ArrayLike, from_velocity: ArrayLike, from_area: ArrayLike
) -> Array:
    r"""$C = C_0\left[s\,\tfrac{A}{A_0}\left(\tfrac{c_0}{c}\right)^2 + 1 - s\right]$: compliance of all arteries once the aorta has
    stiffened and widened.

    Args:
        compliance: $C_0$ at the age that is known, any unit.
        share: $s$ of the aorta in it, 0 to 1; muscular arteries hardly stiffen with age and keep theirs.
        velocity: $c$ of the pulse in the aorta, m/s.
        area: $A$ of the aorta, any unit.
        from_velocity: $c_0$ at that age.
        from_area: $A_0$ then, in the unit of ``area``.

    Compliance per length is $A/(\rho c^2)$ (:func:`physics.wave_speed.distensibility_of_speed`). Good values: a share of 0.6. Source:
    Bramwell, Hill (1922), Proc. R. Soc. Lond. B 93, 298; Westerhof, Lankhaar, Westerhof (2009), Med. Biol. Eng. Comput. 47, 131 (the
    share); Benetos et al. (1993), Arterioscler. Thromb. 13, 90 (muscular arteries).
    """
    aorta = jnp.asarray(area) / from_area * (jnp.asarray(from_velocity) / velocity) ** 2
    return jnp.asarray(compliance) * (share * aorta + 1 - share)


def pressures_of(wave: Float[Array, " times"], times: Float[Array, " times"]) -> Array:
    """Systolic, diastolic, pulse and mean pressure of one beat, in the wave's unit; the mean by the trapezoidal rule."""
    top, bottom = jnp.max(wave), jnp.min(wave)
    mean = jnp.trapezoid(wave, times) / (times[-1] - times[0])
    return jnp.stack([top, bottom, top - bottom, mean])
