"""Radiotherapy courses: prescriptions, what of them is still to be given, and schedules optimised by gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix
from jaxtyping import Array, Float

from physics import biologically_effective_dose, doses_of_equal_effect
from solvers import TimeMesh, map_members
from twinsim.glioma_model import GliomaModel

ALPHA_BETA_LATE_GY = 2.0
OPTIMISED = "optimised schedule"
STANDARD = (("60 Gy in 30", 60.0, 30), ("40 Gy in 15", 40.0, 15))
REFERENCE = STANDARD[0][0]  # the course whose days and late effect the optimised one keeps


@dataclass(frozen=True)
class Course:
    """A course of radiotherapy on given days.

    Attributes:
        name: What the report calls it.
        days: Days that the comparison shares.
        doses_gy: Dose on each of them; zero where nothing is given.
    """

    name: str
    days: np.ndarray
    doses_gy: np.ndarray

    @property
    def fractions(self) -> list[tuple[float, float]]:
        """Day and dose (Gy) of every fraction, those under a hundredth of a gray left out."""
        return [(float(day), float(dose)) for day, dose in zip(self.days, self.doses_gy, strict=True) if dose >= 0.01]

    @property
    def late_effect_gy(self) -> float:
        """Biologically effective dose for late effects in the brain, alpha/beta = 2 Gy (Fowler 1989)."""
        return float(biologically_effective_dose(jnp.asarray(self.doses_gy), ALPHA_BETA_LATE_GY))


def treatment_days(after: float, count: int) -> np.ndarray:
    """The next treatment days: five on, two off, from the day after."""
    return np.array([after + 1 + 7 * (i // 5) + i % 5 for i in range(count)], dtype=float)


def courses(days: np.ndarray, given_gy: Sequence[float], planned: Sequence[tuple[float, float]] = ()) -> tuple[list[Course], list[str]]:
    """The courses to compare: none, the standard prescriptions as totals including what was given, and the file's own plan.

    Args:
        days: Days that fractions can be given on, increasing.
        given_gy: Doses of the fractions already given.
        planned: Day and dose of fractions that the patient's file plans; their days must be among ``days``.

    Returns:
        The courses, and a sentence for every prescription that cannot be completed.
    """
    found = [Course("no further treatment", days, np.zeros(days.size))]
    notes = []
    for name, total, count in STANDARD:
        left, remaining = count - len(given_gy), total - float(sum(given_gy))
        if left <= 0 or remaining <= 0:
            notes.append(f"{name} is not compared: {sum(given_gy):g} Gy in {len(given_gy)} fractions were already given.")
            continue
        doses = np.zeros(days.size)
        doses[:left] = remaining / left
        found.append(Course(name, days, doses))
    if planned:
        doses = np.zeros(days.size)
        for day, dose in planned:
            doses[np.flatnonzero(days == day)[0]] += dose
        found.append(Course("as planned in the file", days, doses))
    return found, notes


def optimised(
    model: GliomaModel,
    mesh: TimeMesh,
    z: Float[Array, "samples parameters"],
    states: Float[Array, "samples cells"],
    like: Course,
    steps: int = 25,
) -> Course:
    r"""The doses that make the expected log burden at the horizon smallest, on the days and at the late effect of another course.

    Minimises $\frac1S\sum_s\log\int u_s(T)\,dV$ over $d_1..d_n$ with $\sum_i d_i(1+d_i/2\,\mathrm{Gy})$ fixed. The fractions share the
    late effect by a softmax, so the constraint holds exactly at every step and BFGS is free; the gradient is the adjoint through the
    whole course.

    Args:
        model: A model on coarse voxels is enough: the optimum depends on rates, not on detail.
        mesh: From the last scan to the horizon, with an event on each treatment day.
        z: Posterior samples.
        states: Density at the last scan, per sample.
        like: The course whose late effect is kept.
        steps: Most iterations.
    """
    total = like.late_effect_gy
    given = np.flatnonzero(like.doses_gy > 0)  # the same days, so that the gain is not one of timing

    def spread(shares: Array) -> Array:
        doses = doses_of_equal_effect(jax.nn.softmax(shares), total, ALPHA_BETA_LATE_GY)
        return jnp.zeros(like.doses_gy.size, doses.dtype).at[given].set(doses)

    def expected_log_burden(shares: Array, arguments: tuple) -> Array:
        model, z, states = arguments

        def one(pair: tuple[Array, Array]) -> Array:
            final, _, _ = model.go_on(pair[0], pair[1], mesh, spread(shares))
            return jnp.log(jnp.maximum(final[-1].sum(), 1e-12))

        return map_members(one, (z, states)).mean()

    @eqx.filter_jit
    def search(model: GliomaModel, z: Array, states: Array) -> Array:
        solver = optimistix.BFGS(rtol=1e-4, atol=1e-4)
        start = jnp.zeros(given.size, states.dtype)
        found = optimistix.minimise(expected_log_burden, solver, start, (model, z, states), max_steps=steps, throw=False)
        return spread(found.value)

    return Course(OPTIMISED, like.days, np.asarray(search(model, z, states), dtype=float))
