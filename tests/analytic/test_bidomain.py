"""Two conductors: closed forms of the linear part, virtual electrodes, the monodomain as a special case, bath, refusals."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import CELL_MODELS, Bidomain, ExtracellularStimulus, conductor_tensor, fibre_tensor
from solvers import TensorDiffusion, VoxelGrid
from tests.problems import matrix, noise, number, quick_jit, slope

DENSITY = 1.4  # uF/mm^3: what conductivities in S/m are divided by
INSIDE, OUTSIDE = (0.17 / DENSITY, 0.019 / DENSITY), (0.62 / DENSITY, 0.24 / DENSITY)
CELL = CELL_MODELS["ten_tusscher_2006_epi"]()


def sheet(shape, spacing, bath=0):
    """Tissue with bath on top of it (along z), and the two tensors, fibres along x."""
    mask = np.zeros((shape[0], shape[1], shape[2] + bath), bool)
    mask[:, :, : shape[2]] = True
    tissue, conductor = VoxelGrid(mask, spacing), VoxelGrid(np.ones_like(mask), spacing)
    return tissue, conductor, fibre_tensor(tissue, *INSIDE), conductor_tensor(tissue, conductor, fibre_tensor(conductor, *OUTSIDE), 0.7)


def conducted(equation, across, length, count):
    """Potentials after steps of conduction only."""
    state = jnp.stack([across, jnp.zeros_like(across)])
    step = equation.conduction
    run = quick_jit(lambda s, n: jax.lax.fori_loop(0, n, lambda i, u: step.advance(u, i * number(length), number(length)), s))
    return run(state, count)


@pytest.mark.slow
def test_equal_anisotropy_is_the_monodomain():
    """With D_e = 2 D_i the implicit midpoint rule of both is that of 2/3 D_i, to the tolerance of the solves."""
    tissue, conductor, inside, _ = sheet((9, 7, 2), 0.25)
    equation = Bidomain(tissue, conductor, CELL, inside, 2 * inside, tolerance=1e-11)
    across = tissue.cells(noise(tissue.shape))
    whole = matrix(TensorDiffusion(tissue, 2 / 3 * inside, closure="no flux"), tissue.size)
    length, eye = 0.2, np.eye(tissue.size)
    rational = np.linalg.solve(eye - length / 2 * whole, eye + length / 2 * whole)
    expected = np.linalg.matrix_power(rational, 5) @ np.asarray(across)
    np.testing.assert_allclose(conducted(equation, across, length, 5)[0], expected, atol=1e-9)


@pytest.mark.slow
def test_order_in_time_against_the_matrix_exponential():
    """Unequal ratios and a bath: V' = (L_i - L_i (L_i+L_e)^+ L_i) V, and the potential outside that goes with it."""
    tissue, conductor, inside, outside = sheet((6, 4, 1), 0.25, bath=2)
    equation = Bidomain(tissue, conductor, CELL, inside, outside, tolerance=1e-12)
    a, b = matrix(equation.conduction.conductors.inside, tissue.size), matrix(equation.conduction.conductors.outside, tissue.size)
    outward = -np.linalg.pinv(a + b, rcond=1e-11) @ a
    rate = a + a @ outward
    assert np.allclose(rate, rate.T) and np.linalg.eigvalsh((rate + rate.T) / 2).max() < 1e-9  # dissipates
    across = tissue.cells(noise(tissue.shape, 1))
    values, vectors = np.linalg.eigh((rate + rate.T) / 2)
    exact = vectors @ (np.exp(values * 0.8) * (vectors.T @ np.asarray(across)))
    counts = [4, 8, 16, 32]
    errors = [np.abs(np.asarray(conducted(equation, across, 0.8 / n, n)[0]) - exact).max() for n in counts]
    assert slope([0.8 / n for n in counts], errors) == pytest.approx(2, abs=0.2), errors
    state = jnp.stack([across, jnp.zeros_like(across)])
    found = equation.extracellular_potential(state)
    found.raise_for_status()
    np.testing.assert_allclose(found.field, outward @ np.asarray(across), atol=1e-10)


@pytest.mark.slow
def test_order_in_space_of_the_potential_outside():
    r"""On an insulated box $V = \cos kx\cos ly$ has $\varphi = -q_i/(q_i+q_e)\,V$ with $q = D_\parallel k^2 + D_\perp l^2$."""
    errors, sizes = [], [6, 12, 24, 48]
    for n in sizes:
        tissue, conductor, inside, outside = sheet((n, n, 1), 6.0 / n)
        equation = Bidomain(tissue, conductor, CELL, inside, outside, tolerance=1e-11)
        x = (np.arange(n) + 0.5) * 6.0 / n
        mode = np.cos(np.pi * x / 6)[:, None, None] * np.cos(2 * np.pi * x / 6)[None, :, None]
        k, low = np.pi / 6, 2 * np.pi / 6
        q_inside, q_outside = (d[0] * k**2 + d[1] * low**2 for d in (INSIDE, OUTSIDE))
        state = jnp.stack([tissue.cells(jnp.asarray(mode))] * 2)
        found = equation.extracellular_potential(state)
        errors.append(np.abs(np.asarray(found.field) + q_inside / (q_inside + q_outside) * mode.ravel()).max())
    assert slope([6.0 / n for n in sizes], errors) == pytest.approx(2, abs=0.2), errors


def polarised(inside, outside, tissue, conductor):
    """V after 0.5 ms of 0.1 mA cathodal at the middle of a sheet, current leaving at its rim; membranes as capacitors only."""
    n = tissue.shape[0]
    middle, rim = np.zeros(tissue.shape, bool), np.ones(tissue.shape, bool)
    middle[n // 2, n // 2, 0], rim[1:-1, 1:-1] = True, False
    electrode = ExtracellularStimulus(conductor, middle, rim, -0.1, 0.5)
    equation = Bidomain(tissue, conductor, CELL, inside, outside, electrodes=(electrode,))
    return np.asarray(conducted(equation, jnp.zeros(tissue.size), 0.025, 20)[0]).reshape(tissue.shape)[..., 0]


@pytest.mark.slow
def test_virtual_electrodes_of_a_cathode():
    """Sepulveda, Roth and Wikswo (1989): depolarised under and across, hyperpolarised along the fibre; not with equal ratios."""
    tissue, conductor, inside, outside = sheet((25, 25, 1), 0.25)
    found, middle = polarised(inside, outside, tissue, conductor), 12
    assert found[middle, middle] > 0 and found[middle, middle + 3] > 0  # the dog bone lies across the fibres
    along = found[middle + 1 : -3, middle]
    assert along.min() < 0 and 0.5 <= 0.25 * (1 + int(np.argmin(along))) <= 2.0  # a virtual anode one millimetre away
    np.testing.assert_allclose(found, found[::-1], atol=1e-6)
    equal = polarised(inside, 3 * inside, tissue, conductor)
    assert equal[2:-2, 2:-2].min() > -1e-3 * equal.max()


def refused(change):
    """What is wrong in one way each."""
    tissue, conductor, inside, outside = sheet((6, 4, 1), 0.25, bath=1)
    spot, ground = np.zeros((2, *tissue.shape), bool)
    spot[1, 1, 0], ground[4, 2, 1] = True, True
    cut, hole, short = (np.asarray(conductor.mask).copy() for _ in range(3))
    cut[3], hole[1, 1, 0], short[0, 0, 0] = False, False, False
    part = VoxelGrid(cut, 0.25)
    across_pieces = ExtracellularStimulus(part, spot, ground, 1.0, 1.0)
    return {
        "box": lambda: Bidomain(tissue, VoxelGrid(np.ones((6, 4, 3), bool), 0.25), CELL, inside, outside),
        "reach": lambda: Bidomain(tissue, VoxelGrid(short, 0.25), CELL, inside, outside),
        "pieces": lambda: Bidomain(VoxelGrid(cut & tissue.mask, 0.25), part, CELL, inside, outside, electrodes=(across_pieces,)),
        "electrode": lambda: ExtracellularStimulus(conductor, spot[:3], ground, 1.0, 1.0),
        "empty": lambda: ExtracellularStimulus(conductor, spot & False, ground, 1.0, 1.0),
        "both": lambda: ExtracellularStimulus(conductor, spot, spot | ground, 1.0, 1.0),
        "outside": lambda: ExtracellularStimulus(VoxelGrid(hole, 0.25), spot, ground, 1.0, 1.0),
        "density": lambda: ExtracellularStimulus(conductor, spot, ground, 1.0, 1.0, membrane_density=0.0),
        "duration": lambda: ExtracellularStimulus(conductor, spot, ground, 1.0, -1.0),
        "bath": lambda: conductor_tensor(tissue, conductor, outside, 0.0),
    }[change]


@pytest.mark.parametrize("change", ["box", "reach", "electrode", "pieces", "empty", "both", "outside", "density", "duration", "bath"])
@pytest.mark.quick(3)
def test_bad_input_is_one_line(change):
    call = refused(change)
    with pytest.raises(ValueError, match=r"^got .*; expected .*; do: ") as caught:
        call()
    assert "\n" not in str(caught.value)


def test_units_that_are_off_by_a_thousand_warn():
    tissue, *_ = sheet((6, 4, 1), 0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="implies"):
            fibre_tensor(tissue, 170.0 / DENSITY, 19.0 / DENSITY)
