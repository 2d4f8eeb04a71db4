"""A plaque's section: Lamé's ring, laws that every section obeys, published trends, labels against the fitted mesh; shear of lesions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from physics.labelled_section import cap_of, labelled_section, plaque_labels
from physics.lesion_shear import lesion_wall, low_part, scaled_shear
from physics.plaque_section import SectionCounts, plaque_mesh, plaque_stress
from physics.section_stress import section_stress
from physics.vessel_shape import straight_vessel
from tests.elastic_sections import FEW, plaque, tissues
from tests.problems import number, quick_jit

SMALL = SectionCounts(6, 4, 7, 2, 4, 3)
stressed = quick_jit(lambda shape, tissue: plaque_stress(shape, tissue, number(16.0), SMALL))


@pytest.mark.slow
def test_one_tissue_and_hardly_a_plaque_is_the_ring_of_lame():
    """Almost concentric: hoop stress p (a² + b²)/(b² - a²) on the lumen."""
    found = stressed(plaque(outer=1.6001, wall=0.6, depth=0.3), tissues(600.0, 600.0))
    assert int(found.status) == 0
    np.testing.assert_allclose(found.lumen_hoop, 16 * (1 + 1.6**2) / (1.6**2 - 1), rtol=0.01)


@pytest.mark.slow
def test_laws_of_scaling():
    """Stress goes with the pressure and keeps its size when all lengths, or all moduli, grow together."""
    point = plaque(), tissues(), number(16.0)
    flat, back = ravel_pytree(point)
    peak, slopes = quick_jit(jax.value_and_grad(lambda one: plaque_stress(*back(one), FEW).peak_cap))(flat)
    shape, moduli, pressure = back(flat * slopes / peak)
    assert float(pressure) == pytest.approx(1, abs=1e-9)
    assert float(sum(jax.tree.leaves(moduli))) == pytest.approx(0, abs=1e-9)
    # A support is a modulus over a length: it counts against the lengths.
    assert float(sum(jax.tree.leaves(shape)) - shape.arc - moduli.support) == pytest.approx(0, abs=1e-8)


@pytest.mark.slow
def test_trends_of_akyildiz_2011():
    """BioMed Eng OnLine 10:25, abstract: threefold when the cap goes from 0.25 to 0.05 mm, 60 to 90 % more at twice the depth."""
    thin, thick = (float(stressed(plaque(cap=cap), tissues()).peak_cap) for cap in (0.05, 0.25))
    assert thin / thick == pytest.approx(3, rel=0.1)
    shallow, deep = (float(stressed(plaque(cap=0.1, depth=depth), tissues()).peak_cap) for depth in (0.35, 0.7))
    assert 1.5 < deep / shallow < 1.9


@pytest.mark.slow
def test_the_default_mesh_has_the_peak_within_three_per_cent():
    program = quick_jit(plaque_stress, static_argnums=3)
    for cap in (0.065, 0.1, 0.25):
        given = plaque(cap=cap), tissues(), number(16.0)
        peaks = [float(program(*given, SectionCounts().refined(k)).peak_cap) for k in (1, 2)]
        assert peaks[0] == pytest.approx(peaks[1], rel=0.03), cap


@pytest.mark.slow
def test_labels_have_the_stress_of_the_fitted_mesh():
    """Stress of the lumen within 8 % at four pixels per cap; the edge under the cap's shoulder, where the peak is, within 18 %."""
    shape, tissue = plaque(), tissues()
    exact = stressed(shape, tissue)
    section = labelled_section(plaque_labels(shape, 0.025, (0.3, -0.2)), 0.025, tissue, number(1e4), 48, 12)
    found = quick_jit(section_stress)(section, number(16.0), jnp.asarray(cap_of(section, tissue.shear(tissue.pool))))
    assert float(jnp.max(found.lumen_hoop)) == pytest.approx(float(jnp.max(exact.lumen_hoop)), rel=0.08)
    assert float(found.peak_cap) == pytest.approx(float(exact.peak_cap), rel=0.18)


def test_lines_of_the_mesh_lie_on_the_borders():
    shape = plaque()
    nodes = np.asarray(quick_jit(lambda one: plaque_mesh(one, FEW).nodes)(shape))
    far = np.linalg.norm(nodes, axis=-1)
    np.testing.assert_allclose(far[:, 0], 1.0, rtol=1e-12)
    np.testing.assert_allclose(far[: 2 * FEW.flat + 1, 2 * FEW.cap], 1.1, rtol=1e-12)
    np.testing.assert_allclose(far[: 2 * FEW.flat + 1, 2 * (FEW.cap + FEW.pool)], 1.7, rtol=1e-12)
    np.testing.assert_allclose(np.hypot(nodes[:, -1, 0] - 0.6, nodes[:, -1, 1]), 2.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"), [(lambda a: a * 0 + 7, "0 to 4"), (lambda a: np.where(a == 2, 0, a), "never; expected once|thinnest")]
)
def test_labels_that_are_no_vessel_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        labelled_section(change(plaque_labels(plaque(), 0.1)), 0.1, tissues(), number(1e4))


def test_shear_of_a_lesion_by_parts_and_its_scaling():
    along, angle = (part.ravel() for part in np.meshgrid(np.linspace(-8, 8, 64), np.linspace(-3, 3, 16), indexing="ij"))
    wall = lesion_wall(along, angle, 9.0, 1.5, 0.4)
    assert wall.radius.min() == pytest.approx(0.9, rel=0.01) and wall.radius.max() == 1.5 and wall.sectors == 80
    shear = jnp.asarray(1 / wall.radius**3)
    means = wall.mean_by_part(shear)
    assert float(means[1]) > float(means[0]) == pytest.approx(float(means[2]), rel=0.05)
    one = jnp.ones(2)
    draws = scaled_shear(shear, jnp.asarray(wall.radius), one * 1.2, one, jnp.array([0.0, 0.1]), one)
    np.testing.assert_allclose(draws[0], 1.2 * shear, rtol=1e-12)
    np.testing.assert_allclose(draws[1], 1.2 / (wall.radius + 0.1) ** 3, rtol=1e-12)
    assert float(low_part(shear, wall.sector >= 0, 1e9)) == 1 and float(wall.lowest_sector(shear)) == pytest.approx(1 / 1.5**3, rel=0.2)


def test_an_eccentric_narrowing_keeps_one_side_straight():
    shape = straight_vessel(10.0, 60.0, 0.0, 0.4, 30.0, 1.0)
    inside = shape.distance[1:-1, 1:-1, 1:-1] > 0
    middle = np.argmin(np.abs(shape.along[1:-1, 0, 0]))
    across = [np.flatnonzero(inside[at, :, inside.shape[2] // 2]) for at in (0, middle)]
    assert across[0][0] == across[1][0] and across[0][-1] - across[1][-1] == pytest.approx(8, abs=1)
    with pytest.raises(ValueError, match="eccentric 2"):
        straight_vessel(10.0, 60.0, 0.0, 0.4, 30.0, 2.0)
