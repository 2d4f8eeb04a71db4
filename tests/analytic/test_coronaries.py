"""Coronary trees against closed forms: one stenosis, a cone, division of flow, one lesion between others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics.coronary_flow import fractional_flow_reserve, steady_tree_flow
from physics.coronary_tree import MMHG, coronary_tree
from tests.coronaries import AORTA, VEIN, diseased, hyperaemia, single
from tests.problems import quick_jit
from twinsim.coronary_file import healthy_tree
from twinsim.coronary_reserve import reserve_draws


@pytest.mark.parametrize("narrow", [0.5, 1.0, 1.5, 2.5])
def test_a_single_stenosis_is_a_quadratic_equation(narrow):
    r"""$(B + R)Q + SQ^2 = P_a - P_v$ with the losses written out in SI units."""
    bed = 20.0
    found = quick_jit(lambda tree: steady_tree_flow(tree, jnp.array([bed]), AORTA, VEIN))(single(narrow))
    assert int(found.status) == 0
    viscosity, density, first, last, whole, along = 0.004, 1060.0, 3.2e-3, 2.8e-3, 3.0e-3, 0.010
    area, narrow_area = np.pi / 4 * whole**2, np.pi / 4 * (narrow * 1e-3) ** 2
    x = np.linspace(0.0, 1.0, 20001)
    cone = np.trapezoid(128 * viscosity / (np.pi * (first + (last - first) * x) ** 4), x) * (0.040 - along)
    viscous = 32 * (0.83 * along + 1.64 * narrow * 1e-3) / whole * (area / narrow_area) ** 2
    linear = (cone + viscous * viscosity / (area * whole)) * 1e-6 / MMHG + bed
    square = 1.52 * density / 2 * (1 / narrow_area - 1 / area) ** 2 * 1e-12 / MMHG
    flow = (-linear + np.sqrt(linear**2 + 4 * square * (AORTA - VEIN))) / (2 * square)
    np.testing.assert_allclose(found.flow, [flow], rtol=1e-8)
    np.testing.assert_allclose(found.pressure, [VEIN + bed * flow], rtol=1e-8)


def test_what_flows_in_flows_out_and_the_beds_take_the_rest():
    tree, beds = diseased(), hyperaemia()
    behind = beds.resistances(tree)
    found = quick_jit(lambda tree: steady_tree_flow(tree, behind, AORTA, VEIN))(tree)
    flow, outlets = np.asarray(found.flow), list(tree.outlets)
    for i in range(len(tree.names)):
        children = [k for k, parent in enumerate(tree.parents) if parent == i]
        if children:
            np.testing.assert_allclose(flow[children].sum(), flow[i], rtol=1e-14)
    np.testing.assert_allclose(np.asarray(found.pressure)[outlets], VEIN + np.asarray(behind) * flow[outlets], rtol=1e-12)
    power = np.asarray(tree.diameters[1])[outlets] ** (7 / 3)
    np.testing.assert_allclose(1 / np.asarray(behind), power / power.sum() * 2.6 / (0.24 * (AORTA - VEIN)), rtol=1e-12)


def test_reserve_falls_along_the_tree_and_with_a_lesion():
    beds = hyperaemia()

    def reserve(tree):
        return np.asarray(quick_jit(lambda t: fractional_flow_reserve(t, beds.resistances(t), AORTA, VEIN))(tree))

    tree = diseased()
    whole, ill = reserve(healthy_tree()), reserve(tree)
    for values in (whole, ill):
        assert all(parent < 0 or values[i] < values[parent] for i, parent in enumerate(tree.parents))
    lad = tree.names.index("lad_proximal")
    assert ill[lad] < whole[lad] - 0.1
    assert abs(ill[tree.names.index("circumflex_distal")] - whole[tree.names.index("circumflex_distal")]) < 0.01


@pytest.mark.slow
def test_draws_without_error_are_the_measured_tree_and_with_it_have_the_correlation_asked_for():
    tree, beds = diseased(), hyperaemia()
    run = quick_jit(lambda d, c: reserve_draws(tree, beds, jax.random.key(1), 400, d, c, False))
    exact = np.asarray(fractional_flow_reserve(tree, beds.resistances(tree), AORTA, VEIN))
    np.testing.assert_allclose(run(jnp.asarray(0.0), jnp.asarray(0.3)).reserve, np.broadcast_to(exact, (400, exact.size)), rtol=1e-12)
    small = jnp.asarray(1e-3)
    left, right = tree.names.index("left_main"), tree.names.index("right_proximal")
    for correlation in (0.0, 1.0):
        found = run(small, jnp.asarray(correlation)).reserve
        assert abs(np.corrcoef(found[:, left], found[:, right])[0, 1] - correlation) < 0.15
    spread = np.asarray(run(small, jnp.asarray(0.0)).reserve).std(0)
    assert spread.max() == spread[tree.names.index("posterior_descending")]  # the tightest lesion


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"proximal": [-3.0]}, "proximal diameter -3 mm of 'artery'; expected above 0"),
        ({"stenosis_diameter": [3.5]}, "stenosis of 3.5 mm in 'artery' of 3 mm; expected less"),
        ({"stenosis_length": [80.0]}, "stenosis of 80 mm length"),
        ({"stenosis_length": [None]}, "half a stenosis"),
        ({"parents": ["aorta"]}, "parent 'aorta' of 'artery'"),
        ({"parents": ["artery"]}, "in a loop of parents"),
    ],
)
def test_refuses(change, words):
    given = {
        "names": ["artery"], "parents": [None], "length": [40.0], "proximal": [3.2], "distal": [2.8],
        "stenosis_diameter": [1.0], "stenosis_length": [10.0],
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        coronary_tree(**(given | change))
