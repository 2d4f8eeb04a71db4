"""Order of convergence in space, against closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import LogisticLogKill
from solvers import Diffusion, ExactFlow, RungeKuttaChebyshev2, Strang, TensorDiffusion, VoxelGrid, simulate, stages_for, time_mesh
from tests.problems import number, quick_jit, slope


def box(cells: tuple[int, int, int], lengths: tuple[float, float, float]) -> tuple[VoxelGrid, list[np.ndarray]]:
    """A box of given edge lengths and its cell centres, measured from its corner, ready to broadcast."""
    spacing = tuple(length / n for length, n in zip(lengths, cells, strict=True))
    centres = [(np.arange(n) + 0.5) * h for n, h in zip(cells, spacing, strict=True)]
    return VoxelGrid(np.ones(cells, bool), spacing), [centres[0][:, None, None], centres[1][None, :, None], centres[2][None, None, :]]


def advance(make_operator, volume: np.ndarray, span: float, step: float, bound: float, growth: float | None = None) -> np.ndarray:
    """Diffusion, with logistic growth if given, to the end of the span; ``bound`` is that of the operator's spectrum."""
    mesh = time_mesh(0.0, [span], step)

    def run():
        stepper = RungeKuttaChebyshev2(make_operator(), stages_for(1.001 * step * bound))
        if growth is not None:
            stepper = Strang(ExactFlow(LogisticLogKill(number(growth))), stepper)
        return simulate(stepper, jnp.asarray(volume).reshape(-1), mesh)

    solution = quick_jit(run)()
    solution.raise_for_status()
    return np.asarray(solution.final).reshape(volume.shape)


def spectral_bound(grid: VoxelGrid, diffusivities, order: int) -> float:
    return (4 / 3 if order == 4 else 1) * sum(4 * d / h**2 for d, h, n in zip(diffusivities, grid.spacing, grid.shape) if n > 1)


def images(x: np.ndarray, centre: float, length: float, variance: float) -> np.ndarray:
    """The heat kernel between two walls that let nothing through: one source and its mirror images."""
    sources = [sign * centre + 2 * k * length for k in range(-4, 5) for sign in (1, -1)]
    return sum(np.exp(-((x - source) ** 2) / (2 * variance)) for source in sources) / np.sqrt(2 * np.pi * variance)


@pytest.mark.parametrize(("order", "counts"), [(2, (8, 12, 18, 27)), (4, (8, 12, 18, 27))])
@pytest.mark.quick(1)
def test_heat_kernel_in_a_box(order, counts):
    """Two axes with spacing, diffusivity and source of their own; the source stands so close to a wall that its image matters."""
    lengths, diffusivity, centre, early, span = (2.0, 3.0, 1.0), (0.5, 0.8, 0.3), (0.5, 1.8), 0.1, 0.25
    errors = []
    for n in counts:
        grid, (x, y, _) = box((n, n + n // 3, 1), lengths)

        def kernel(variances, x=x, y=y):
            return images(x, centre[0], lengths[0], variances[0]) * images(y, centre[1], lengths[1], variances[1])

        start, exact = (kernel([0.15 + 2 * d * time for d in diffusivity]) for time in (early, early + span))
        step = span / (2 * n if order == 2 else n**2 // 8)
        bound = spectral_bound(grid, diffusivity, order)
        found = advance(partial(Diffusion, grid, diffusivity, interior_order=order), start, span, step, bound)
        errors.append(np.abs(found - exact).max())
    assert slope(1 / np.array(counts), errors) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("order", [2, 4])
def test_cosine_modes_decay_at_their_own_rate(order):
    """The cosines that satisfy no flux are eigenvectors, walls included: only the eigenvalue has an error."""
    errors, counts = [], (8, 16, 32, 64)
    for n in counts:
        grid, (x, _, _) = box((n, 1, 1), (1.0, 1.0, 1.0))
        mode = np.cos(2 * np.pi * x).reshape(-1)
        found = quick_jit(lambda mode, grid=grid: Diffusion(grid, 1.0, interior_order=order).apply(mode))(jnp.asarray(mode))
        rates = found / mode
        assert np.ptp(rates) <= 1e-10 * np.abs(rates).max()
        errors.append(abs(rates[0] + (2 * np.pi) ** 2))
    assert slope(1 / np.array(counts), errors) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("order", [2, 4])
def test_smoothly_varying_diffusivity(order):
    r"""$(D u')'$ against its closed form: order two for any smooth $D$; order four where $1/D$ is linear."""
    errors, counts = [], (40, 60, 90, 135)
    for n in counts:
        grid, (x, _, _) = box((n, 1, 1), (6.0, 1.0, 1.0))
        inverse, inverse_slope = (1 + 0.3 * x, 0.3) if order == 4 else (1.2 + np.sin(x), np.cos(x))
        bump = np.exp(-3 * (x - 3) ** 2)
        exact = (36 * (x - 3) ** 2 - 6) * bump / inverse + 6 * (x - 3) * bump * inverse_slope / inverse**2
        coefficient = jnp.asarray(1 / inverse)
        apply = quick_jit(lambda grid, coefficient, field: Diffusion(grid, coefficient, interior_order=order).apply(field))
        errors.append(np.abs(apply(grid, coefficient, jnp.asarray(bump).reshape(-1)) - exact.reshape(-1)).max())
    assert slope(1 / np.array(counts), errors) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("order", "counts"), [(2, (80, 120, 180, 270)), (4, (80, 110, 150, 200))])
@pytest.mark.quick(1)
def test_fisher_wave_of_ablowitz_and_zeppetella(order, counts):
    r"""$u=(1+e^{\sqrt{k/6D}\,(x-ct)})^{-2}$ with $c=5\sqrt{kD/6}$ solves Fisher's equation exactly: Bull. Math. Biol. 41:835 (1979)."""
    growth, diffusivity, length, span = 1.0, 1.5, 120.0, 4.0
    speed = 5 * np.sqrt(growth * diffusivity / 6)

    def wave(x, time):
        return (1 + np.exp(np.sqrt(growth / (6 * diffusivity)) * (x - 60 - speed * time))) ** -2.0

    errors = []
    for n in counts:
        grid, (x, _, _) = box((n, 1, 1), (length, 1.0, 1.0))
        operator = partial(Diffusion, grid, diffusivity, interior_order=order)
        step = 8 / n if order == 2 else 1000 / n**2
        found = advance(operator, wave(x, 0), span, step, spectral_bound(grid, [diffusivity], order), growth)
        errors.append(np.abs(found - wave(x, span)).max())
    assert slope(1 / np.array(counts), errors) == pytest.approx(order, abs=0.2)


COUNTS_2D = (24, 36, 54, 81)


@pytest.mark.slow
def test_tensor_that_varies_smoothly_and_is_oblique_to_the_grid():
    """The operator on a bump away from the walls, against the closed form by automatic differentiation; principal axes at 45 degrees."""

    def tensor(x):
        along, across = 2 + jnp.sin(x[0] + 0.5 * x[1]), 0.4 + 0.2 * jnp.cos(x[1] - x[0])
        first = jnp.array([1.0, 1.0, 0.0]) / jnp.sqrt(2.0)
        second = jnp.array([1.0, -1.0, 0.0]) / jnp.sqrt(2.0)
        return along * jnp.outer(first, first) + across * jnp.outer(second, second) + 0.5 * jnp.diag(jnp.array([0.0, 0.0, 1.0]))

    def bump(x):
        return jnp.exp(-2 * ((x[0] - 2.9) ** 2 + 0.7 * (x[1] - 3.1) ** 2))

    def divergence(x):
        return jnp.trace(jax.jacfwd(lambda x: tensor(x) @ jax.grad(bump)(x))(x))

    errors = []
    for n in COUNTS_2D:
        grid, (x, y, z) = box((n, n + n // 6, 1), (6.0, 6.0, 1.0))
        points = jnp.asarray(np.stack(np.broadcast_arrays(x, y, z), axis=-1)).reshape(-1, 3)

        def error(points, grid=grid):
            operator = TensorDiffusion(grid, jax.vmap(tensor)(points).reshape(*grid.shape, 3, 3))
            return jnp.abs(operator.apply(jax.vmap(bump)(points)) - jax.vmap(divergence)(points)).max()

        errors.append(float(quick_jit(error)(points)))
    assert slope(1 / np.array(COUNTS_2D), errors) == pytest.approx(2, abs=0.2)


@pytest.mark.slow
def test_anisotropic_heat_kernel_oblique_to_the_grid():
    r"""A Gaussian of covariance $\Sigma$ has $\Sigma + 2Dt$ at time $t$; strong anisotropy at 45 degrees."""
    tensor = np.array([[0.55, 0.45, 0.0], [0.45, 0.55, 0.0], [0.0, 0.0, 0.3]])
    span, errors = 0.6, []

    def gaussian(x, y, covariance):
        (a, b), (_, c) = np.linalg.inv(covariance)
        quadratic = a * (x - 4) ** 2 + 2 * b * (x - 4) * (y - 4) + c * (y - 4) ** 2
        return np.exp(-quadratic / 2) / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))

    early = 0.3 * np.eye(2)
    for n in COUNTS_2D:
        grid, (x, y, _) = box((n, n, 1), (8.0, 8.0, 1.0))
        operator = partial(TensorDiffusion, grid, np.broadcast_to(tensor, (*grid.shape, 3, 3)))
        bound = 4 * (0.55 + 0.55) / grid.spacing[0] ** 2 * 1.5
        found = advance(operator, gaussian(x, y, early), span, span / n, bound)
        errors.append(np.abs(found - gaussian(x, y, early + 2 * span * tensor[:2, :2])).max())
    assert slope(1 / np.array(COUNTS_2D), errors) == pytest.approx(2, abs=0.2)
