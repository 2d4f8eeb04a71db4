"""Laws that are hidden and looked for: predator and prey, a relaxation oscillator, a tumour under immune attack."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import solve_ivp

from twinsim.discovery import Course


@dataclass(frozen=True)
class HiddenSystem:
    """A law, how it is observed, and what is taken as known.

    Attributes:
        name: Of the system.
        variables: Names.
        units: Of the variables, as pint reads them.
        rate: The law.
        terms: Of each equation: name of the term to its coefficient; a saturating term is named ``saturating``.
        half: Half-saturation of the saturating term; None without one.
        degree: Of the library.
        pairs: Saturating terms of the library.
        halves: Candidates for their half-saturation.
        starts: Of the observed courses.
        beyond: Starts of courses to extrapolate to, outside of what was seen.
        duration: Of an observed course, in the system's time.
        width: Of a bump of the weak form.
        known: The part of the law that a universal equation is given.
        into: Where its unknown terms stand, ``[variables, terms]``.
        known_terms: As ``terms``, of the known part.
    """

    name: str
    variables: tuple[str, ...]
    units: tuple[str, ...]
    rate: Callable[[np.ndarray], np.ndarray]
    terms: tuple[dict[str, float], ...]
    half: float | None
    degree: int
    pairs: tuple[tuple[int, int], ...]
    halves: tuple[float, ...]
    starts: tuple[tuple[float, ...], ...]
    beyond: tuple[tuple[float, ...], ...]
    duration: float
    width: float
    known: tuple[dict[str, float], ...]
    into: tuple[tuple[float, ...], ...]

    def course(self, start: tuple[float, ...], times: np.ndarray) -> np.ndarray:
        """Without noise, ``[samples, variables]``, by SciPy's DOP853."""
        found = solve_ivp(lambda _, x: self.rate(x), (times[0], times[-1]), start, "DOP853", times, rtol=1e-9, atol=1e-10)
        return found.y.T

    def observed(self, samples: int, noise: float, seed: int) -> list[Course]:
        """Courses at irregular times, with normal noise of ``noise`` times each variable's standard deviation over all courses."""
        random = np.random.default_rng(seed)
        times = [np.sort(np.append(random.uniform(0.0, self.duration, samples - 1), 0.0)) for _ in self.starts]
        times = [_apart(one, 1e-3 * self.duration) for one in times]
        clean = [self.course(start, one) for start, one in zip(self.starts, times, strict=True)]
        spread = np.concatenate(clean).std(axis=0)
        return [Course(one, x + noise * spread * random.standard_normal(x.shape)) for one, x in zip(times, clean, strict=True)]


def _apart(times: np.ndarray, least: float) -> np.ndarray:
    """Times no nearer than ``least``."""
    kept = [times[0]]
    for time in times[1:]:
        if time - kept[-1] >= least:
            kept.append(time)
    return np.array(kept)


def _lotka_volterra(x: np.ndarray) -> np.ndarray:
    return np.array([1.1 * x[0] - 0.4 * x[0] * x[1], 0.1 * x[0] * x[1] - 0.4 * x[1]])


def _van_der_pol(x: np.ndarray) -> np.ndarray:
    return np.array([x[1], 1.5 * (1 - x[0] ** 2) * x[1] - x[0]])


SOURCE, RECRUIT, HALF, LOST, DEATH, GROWTH, CROWDING = 0.1181, 1.131, 20.19, 0.00311, 0.3743, 1.636, 0.002
"""Kuznetsov, Makalkin, Taylor, Perelson (1994), *Bull Math Biol* 56, 295, section 3: dimensionless, of a lymphoma in mice."""


def _tumour_immune(x: np.ndarray) -> np.ndarray:
    """Effector cells ``x[0]`` and tumour cells ``x[1]``, here in hundreds of the paper's unit so that both are of order one."""
    effector, tumour = x[0], 100 * x[1]
    recruited = SOURCE + RECRUIT * effector * tumour / (HALF + tumour) - LOST * effector * tumour - DEATH * effector
    return np.array([recruited, (GROWTH * tumour * (1 - CROWDING * tumour) - effector * tumour) / 100])


SYSTEMS = {
    system.name: system
    for system in (
        HiddenSystem(
            "lotka_volterra", ("prey", "predator"), ("1", "1"), _lotka_volterra,
            ({"prey": 1.1, "prey predator": -0.4}, {"predator": -0.4, "prey predator": 0.1}), None, 2, (), (),
            ((10.0, 5.0), (5.0, 2.0), (3.0, 4.0)), ((16.0, 3.0), (2.0, 7.0)), 15.0, 2.5,
            ({"prey": 1.1}, {"predator": -0.4}), ((1.0, 0.0), (0.0, 1.0)),
        ),
        HiddenSystem(
            "van_der_pol", ("x", "y"), ("1", "1"), _van_der_pol,
            ({"y": 1.0}, {"x": -1.0, "y": 1.5, "x^2 y": -1.5}), None, 3, (), (),
            ((0.5, 0.0), (2.0, 2.0), (-1.0, 1.5)), ((3.0, -1.0), (-2.5, 3.0)), 12.0, 1.2,
            ({"y": 1.0}, {}), ((0.0,), (1.0,)),
        ),
        HiddenSystem(
            "tumour_immune", ("effector", "tumour"), ("1", "1"), _tumour_immune,
            (
                {"1": SOURCE, "effector": -DEATH, "effector tumour": -100 * LOST, "saturating": RECRUIT},
                {"tumour": GROWTH, "tumour^2": -100 * GROWTH * CROWDING, "effector tumour": -1.0},
            ),
            HALF / 100, 2, ((0, 1),), (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0),
            ((0.3, 0.5), (1.0, 3.0), (2.0, 1.0), (0.1, 0.1), (3.0, 4.0), (0.8, 0.2)), ((0.2, 5.0), (4.0, 0.5)), 12.0, 2.0,
            ({"1": SOURCE, "effector": -DEATH}, {"tumour": GROWTH, "tumour^2": -100 * GROWTH * CROWDING}), ((1.0, 0.0), (0.0, 1.0)),
        ),
    )
}  # fmt: skip
