"""Diffusion on clouds of points: what holds for any weights, the limit of a square lattice, gradients, lowering and bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from physics import CloudDiffusion
from solvers import RungeKuttaChebyshev2, stages_for
from tests.problems import number
from twinsim.closures import CloudConductances, KernelConductances, cloud_of, unroll
from twinsim.errors import InputError

MODEL = CloudConductances.create(0, 8, 1)
ROOM = (30, 160)


def drawn(seed=0, count=24):
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 5, (count, 2)), generator.uniform(0.3, 1.5, count)


def loud(model, size=3.0):
    """Weights so large that bounds are felt."""
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    return eqx.combine(jax.tree.map(lambda leaf: size * leaf, arrays), rest)


@pytest.fixture(scope="module")
def rates():
    points, diffusivity = drawn()
    cloud = cloud_of(points, diffusivity, 25.0, ROOM)
    return cloud, loud(MODEL)(cloud)


def test_whatever_the_weights_the_sum_is_kept_and_nothing_grows(rates):
    cloud, diffusion = rates
    state = jnp.asarray(np.random.default_rng(1).normal(size=(2, ROOM[0])))
    change = diffusion.evaluate(state, number(0.0))
    here = np.asarray(cloud.graph.node_here)
    assert float(jnp.sum(diffusion.volumes[here])) == pytest.approx(25.0)
    volumes = np.asarray(diffusion.volumes)
    np.testing.assert_allclose(np.asarray(change) @ volumes, 0, atol=1e-12)
    assert ((np.asarray(state) * np.asarray(change)) @ volumes < 0).all()
    np.testing.assert_allclose(diffusion.evaluate(jnp.ones_like(state), number(0.0)), 0, atol=1e-14)
    assert not np.asarray(change)[:, ~here].any() and bool((diffusion.conductances >= 0).all())
    values = np.asarray(state)[:, here]
    top = values.argmax(axis=1)
    assert all(float(change[k, here][top[k]]) <= 0 for k in range(2))
    matrix = jax.jacfwd(lambda u: diffusion.evaluate(u, number(0.0)))(state[0])
    assert np.abs(np.linalg.eigvals(matrix)).max() <= float(diffusion.spectral_bound())


def test_turned_mirrored_and_renumbered_points_exchange_the_same():
    points, diffusivity = drawn()
    turn = np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]]) @ np.diag([1.0, -1.0])
    order = np.random.default_rng(3).permutation(len(points))
    field = np.random.default_rng(4).normal(size=len(points))
    found = []
    for k, (places, values, state) in enumerate([(points, diffusivity, field), (points @ turn + 7, diffusivity, field)]):
        del k
        change = loud(MODEL)(cloud_of(places, values, 25.0, ROOM)).evaluate(jnp.asarray(np.pad(state, (0, 6))), number(0.0))
        found.append(np.asarray(change)[: len(points)])
    shuffled = loud(MODEL)(cloud_of(points[order], diffusivity[order], 25.0, ROOM))
    change = np.asarray(shuffled.evaluate(jnp.asarray(np.pad(field[order], (0, 6))), number(0.0)))[: len(points)]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(change, found[0][order], rtol=1e-9, atol=1e-9)


def test_on_a_square_lattice_with_its_own_conductances_it_is_of_order_two():
    """$u=\\cos(\\pi x)\\cos(\\pi y)$ decays by $e^{-2\\pi^2Dt}$ between walls; conductances are then $D$, volumes $h^2$."""
    errors, sizes = [], (4, 8, 16, 32)
    for n in sizes:
        index = np.arange(n * n).reshape(n, n)
        pairs = np.concatenate(
            [np.stack([index[:-1].ravel(), index[1:].ravel()], 1), np.stack([index[:, :-1].ravel(), index[:, 1:].ravel()], 1)]
        )
        diffusion = CloudDiffusion(
            jnp.full(len(pairs), 0.3), jnp.full(n * n, 1.0 / n**2), jnp.asarray(pairs[:, 0]), jnp.asarray(pairs[:, 1])
        )
        x = (np.arange(n) + 0.5) / n
        start = np.outer(np.cos(np.pi * x), np.cos(np.pi * x)).ravel()
        stepper = RungeKuttaChebyshev2(diffusion, stages_for(0.01 * 8 * 0.3 * n**2))
        end = unroll(stepper, jnp.asarray(start), 0.01, 20)[-1]
        errors.append(float(jnp.abs(end - start * np.exp(-2 * np.pi**2 * 0.3 * 0.2)).max()))
    assert np.polyfit(np.log(sizes), np.log(errors), 1)[0] == pytest.approx(-2, abs=0.2)


@pytest.mark.parametrize("kind", ["kernel", "network"])
def test_gradient_of_weights_through_the_solver_against_central_differences(kind):
    points, diffusivity = drawn()
    cloud = cloud_of(points, diffusivity, 25.0, ROOM)
    model = KernelConductances.plain() if kind == "kernel" else loud(MODEL, 1.5)
    arrays, rest = eqx.partition(model, eqx.is_inexact_array)
    state = jnp.asarray(np.random.default_rng(5).normal(size=ROOM[0]))

    @jax.jit
    def value(arrays):
        stepper = RungeKuttaChebyshev2(eqx.combine(arrays, rest)(cloud), 8)
        return jnp.sum(unroll(stepper, state, 0.2, 3) ** 2)

    leaves, structure = jax.tree.flatten(arrays)
    generator = np.random.default_rng(6)
    way = [jnp.asarray(generator.normal(size=leaf.shape)) for leaf in leaves]
    found = sum(float(jnp.vdot(g, d)) for g, d in zip(jax.tree.leaves(jax.jit(jax.grad(value))(arrays)), way, strict=True))
    step = 1e-5
    at = [float(value(structure.unflatten([x + s * step * d for x, d in zip(leaves, way, strict=True)]))) for s in (-2, -1, 1, 2)]
    np.testing.assert_allclose(found, (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * step), rtol=1e-6)


def test_it_lowers():
    with jax.enable_x64(False):
        points, diffusivity = drawn()
        cloud = cloud_of(points, diffusivity, 25.0, ROOM)
        arrays, rest = eqx.partition(CloudConductances.create(0, 8, 1), eqx.is_inexact_array)

        def value(arrays):
            return jnp.sum(unroll(RungeKuttaChebyshev2(eqx.combine(arrays, rest)(cloud), 6), cloud.diffusivity, 0.1, 2) ** 2)

        text = export.export(jax.jit(jax.value_and_grad(value)), platforms=("cpu", "cuda", "tpu"))(arrays).mlir_module()
        assert "f64" not in text and "callback" not in text


POINTS, KNOWN = drawn()


@pytest.mark.parametrize(
    ("points", "diffusivity", "area", "room", "words"),
    [
        (POINTS[:5], KNOWN[:5], 25.0, ROOM, "more than 9 points in a plane"),
        (np.c_[POINTS, POINTS[:, 0]], KNOWN, 25.0, ROOM, "points in a plane"),
        (np.where(POINTS > 4.9, np.nan, POINTS), KNOWN, 25.0, ROOM, "finite"),
        (POINTS, 0 * KNOWN, 25.0, ROOM, "above zero"),
        (POINTS, KNOWN, -1.0, ROOM, "above zero"),
        (np.r_[POINTS, POINTS[:1]], np.r_[KNOWN, KNOWN[:1]], 25.0, ROOM, "two points at one place"),
        (POINTS, KNOWN, 25.0, (30, 20), "give more room"),
        (POINTS, KNOWN[:-1], 25.0, ROOM, "one diffusivity per point"),
        (POINTS, KNOWN, 25.0, (10**12, 160), "two whole numbers"),
        (1000 * POINTS, KNOWN, 25.0, ROOM, "points in mm and the area"),
        (POINTS, KNOWN, 1e-30, ROOM, "points in mm and the area"),
        (1e200 * POINTS, KNOWN, 25.0, ROOM, "points in mm and the area"),
    ],
)
def test_bad_clouds_are_refused_in_one_line(points, diffusivity, area, room, words):
    with pytest.raises(InputError, match=words) as caught:
        cloud_of(points, diffusivity, area, room)
    assert "\n" not in str(caught.value) and "; do: " in str(caught.value)


@pytest.mark.parametrize("kept", [True, np.ones(3, bool), np.ones(24 * 8, int)])
def test_open_pairs_says_of_every_pair_whether_it_is_open(kept):
    with pytest.raises(InputError, match="say of each pair whether it is open"):
        cloud_of(POINTS, KNOWN, 25.0, ROOM, lambda one, other: kept)


def test_a_seed_that_is_none_is_refused():
    with pytest.raises(InputError, match="seed -1"):
        CloudConductances.create(-1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first": [0, 1, 9]}, "number points from zero"),
        ({"conductances": [1.0, -1.0, 1.0]}, "check weights and units"),
        ({"conductances": [1.0, np.nan, 1.0]}, "check weights and units"),
        ({"volumes": [1.0, 0.0, 1.0, 1.0]}, "check weights and units"),
    ],
)
def test_exchange_that_is_none_is_refused(change, words):
    good = {"conductances": [1.0, 1.0, 1.0], "volumes": [1.0, 1.0, 1.0, 1.0], "first": [0, 1, 2], "second": [1, 2, 3]}
    with pytest.raises(ValueError, match=words):
        CloudDiffusion(**{name: jnp.asarray(values) for name, values in (good | change).items()})
    diffusion = CloudDiffusion(**{name: jnp.asarray(values) for name, values in good.items()})
    with pytest.raises(ValueError, match="expected 4 points along the last axis"):
        diffusion.evaluate(jnp.ones(3), number(0.0))
