"""Courses of radiotherapy: totals that count what was given, treatment days, and schedules optimised by gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import doses_of_equal_effect
from tests import tiny_glioma as tiny
from twinsim.forecast import course_mesh
from twinsim.glioma_priors import TISSUE_PRIORS
from twinsim.treatment import ALPHA_BETA_LATE_GY, Course, courses, optimised, treatment_days

DAYS = treatment_days(60.0, 30)


def given(course):
    return course.doses_gy[course.doses_gy > 0].tolist()


def test_treatment_days_skip_two_of_seven():
    days = treatment_days(56.0, 12)
    assert days.tolist() == [57, 58, 59, 60, 61, 64, 65, 66, 67, 68, 71, 72]


def test_nothing_given_compares_the_full_prescriptions():
    found, notes = courses(DAYS, [])
    assert [course.name for course in found] == ["no further treatment", "60 Gy in 30", "40 Gy in 15"]
    assert notes == []
    assert given(found[0]) == []
    assert given(found[1]) == pytest.approx([2.0] * 30)
    assert given(found[2]) == pytest.approx([40 / 15] * 15)


def test_totals_include_what_was_given():
    """10 Gy in 5 were given: 50 Gy in 25 and 30 Gy in 10 are left."""
    found, notes = courses(DAYS, [2.0] * 5)
    assert notes == []
    assert given(found[1]) == pytest.approx([2.0] * 25)
    assert given(found[2]) == pytest.approx([3.0] * 10)
    assert all(course.doses_gy.size == 30 and (course.doses_gy[: len(given(course))] > 0).all() for course in found)


@pytest.mark.parametrize(
    ("already", "left"),
    [([2.0] * 15, ["60 Gy in 30"]), ([2.0] * 30, []), ([10.0] * 4, ["60 Gy in 30"]), ([12.0] * 5, [])],
)
def test_a_prescription_that_is_complete_is_noted_not_compared(already, left):
    found, notes = courses(DAYS, already)
    assert [course.name for course in found[1:]] == left
    assert len(notes) == 2 - len(left)
    assert all("not compared" in note and f"{sum(already):g} Gy in {len(already)}" in note for note in notes)


def test_the_plan_in_the_file_falls_on_its_own_days():
    planned = [(61.0, 2.5), (62.5, 1.5), (62.5, 0.5)]
    days = np.unique(np.concatenate([DAYS, [day for day, _ in planned]]))
    found, _ = courses(days, [], planned)
    assert found[-1].name == "as planned in the file"
    doses = dict(zip(days.tolist(), found[-1].doses_gy.tolist(), strict=True))
    assert doses[61.0] == 2.5 and doses[62.5] == 2.0
    assert sum(doses.values()) == pytest.approx(4.5)


def test_the_late_effect_is_the_bed_of_the_brain():
    assert Course("test", np.arange(3.0), np.array([2.0, 2.0, 0.0])).late_effect_gy == pytest.approx(2 * 2 * (1 + 2 / 2))


def test_fractions_are_the_days_that_get_a_dose():
    assert Course("test", np.array([1.0, 2.0, 5.0]), np.array([2.0, 0.0, 1.5])).fractions == [(1.0, 2.0), (5.0, 1.5)]


@pytest.mark.slow
def test_the_optimised_schedule_keeps_the_late_effect_and_beats_the_equal_split():
    twin = tiny.informed_twin()
    z = jnp.asarray(np.stack([tiny.Z_TRUTH, tiny.Z_TRUTH + 0.1]))
    states = jnp.asarray(tiny.grown(twin)[-1].reshape(1, -1) * np.array([[1.0], [0.8]]))
    days = treatment_days(60.0, 7)
    mesh = course_mesh(twin, days, 20.0)
    like = Course("12 Gy in 6", days, np.array([2.0] * 6 + [0.0]))
    found = optimised(twin.model, mesh, z, states, like, steps=6)
    assert found.name == "optimised schedule"
    assert found.doses_gy.shape == (7,) and (found.doses_gy >= 0).all()
    assert found.doses_gy[6] == 0, "a day on which the other course gives nothing"
    assert found.late_effect_gy == pytest.approx(like.late_effect_gy, rel=1e-5)

    @eqx.filter_jit
    def objective(doses):
        def one(pair):
            final, _, _ = twin.model.go_on(pair[0][: len(TISSUE_PRIORS)], pair[1], mesh, doses)
            return jnp.log(final[-1].sum())

        return jax.lax.map(one, (z, states)).mean()

    equal = jnp.append(doses_of_equal_effect(jnp.full(6, 1 / 6), like.late_effect_gy, ALPHA_BETA_LATE_GY), 0.0)
    np.testing.assert_allclose(equal, like.doses_gy, rtol=1e-12)
    assert float(objective(jnp.asarray(found.doses_gy))) <= float(objective(equal)) + 1e-9
