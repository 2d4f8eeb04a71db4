"""A voxel's zones, learned or not: conserved, positive, monotone, at rest in equilibrium, and bad input refused in one line."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import Binding, Doses, PlasmaCourse, TissueZones, TwoCompartment, capillary_bed, drug_transport, lateral_diffusion
from solvers import RungeKuttaChebyshev2, Strang, VoxelGrid
from tests.problems import number, quick_jit
from twinsim.closures.drug_exchange import DrugLaw, DrugVoxels, krogh_zones, load_drug_law, save_drug_law
from twinsim.closures.learned import network_parameters
from twinsim.errors import InputError

COUNT = 6


def voxels(seed=0):
    """Any, of both drugs' size."""
    rng = np.random.default_rng(seed)
    n = np.exp(rng.uniform(np.log(8), np.log(250), COUNT))
    low = (1e-6, 1e4, 0.2, 0.05, 1e-4, 1e-6, 0.4)
    high = (5e-5, 1e7, 0.4, 0.2, 4e-3, 1e-5, 25.0)
    drug = (rng.uniform(a, b, COUNT) for a, b in zip(low, high, strict=True))
    return DrugVoxels(*map(jnp.asarray, (n, 0.6 / np.sqrt(n), 0.7 / np.sqrt(n), *drug)))


def dosed(amount):
    kinetics = TwoCompartment(*map(number, (13.0, 0.02, 40.0, 0.05)))
    return PlasmaCourse(kinetics, Doses(jnp.zeros(1), jnp.asarray([900.0]), jnp.asarray([amount])), number(0.5))


VOXELS, PLASMA = voxels(), dosed(300.0)
LAW = DrugLaw.create(3, VOXELS, 0.005)
# Weights that nobody trained, six times as large: what holds by construction holds for them.
_PARTS = eqx.partition(LAW, network_parameters(LAW))
WILD = eqx.combine(jax.tree.map(lambda leaf: 6 * leaf, _PARTS[0]), _PARTS[1])


@quick_jit
def marched(zones):
    step = number(400.0)
    return jax.lax.scan(lambda s, t: (zones.advance(s, t, step),) * 2, zones.start(), step * jnp.arange(12.0))[1]


def euler(law, plasma, known=VOXELS):
    zones = law.zones(known, plasma)
    return TissueZones(zones.volume, zones.wall, zones.between, zones.binding, plasma, second_order=False)


@pytest.fixture(scope="module")
def course():
    return euler(WILD, PLASMA), marched(euler(WILD, PLASMA))


def test_an_untrained_law_keeps_all_bounds(course):
    zones, states = course
    tissue = 1 - np.pi * 0.005**2 * VOXELS.density
    np.testing.assert_allclose(zones.volume.sum(axis=0), tissue, rtol=1e-12)
    assert bool(jnp.all(zones.wall < VOXELS.density / VOXELS.resistance)) and float(zones.wall.min()) > 0
    np.testing.assert_allclose(zones.amount(states), states[:, 3].sum(axis=1), rtol=1e-10)
    highest = float(jax.vmap(PLASMA)(jnp.linspace(0, 4800, 500)).max())
    assert float(states[:, :3].min()) >= 0 and float(states[:, 0].max()) <= highest
    assert bool(jnp.all(states[:, 1] <= VOXELS.sites[None, None]))


def test_more_in_the_plasma_is_nowhere_less_at_any_time(course):
    _, states = course
    more = marched(euler(WILD, dosed(330.0)))
    assert float((more - states)[:, :3].min()) >= -1e-12
    later = eqx.tree_at(lambda p: p.doses.start, PLASMA, jnp.asarray([900.0]))
    assert float((states - marched(euler(WILD, later)))[:2, :3].min()) >= -1e-12


def test_nothing_moves_in_equilibrium_and_the_flux_points_down(course):
    zones, states = course
    blood = jax.vmap(PLASMA)(400.0 * (1 + jnp.arange(12.0)))
    flux = jnp.diff(states[:, 3, 0], axis=0) / 400.0
    down = blood[1:, None] - states[1:, 0, 0]
    np.testing.assert_allclose(flux, zones.wall[None] * down, rtol=1e-7, atol=1e-12 * float(jnp.abs(flux).max()))
    cells = Binding(zones.binding.space, zones.binding.on, zones.binding.off, 0 * zones.binding.loss, zones.binding.sites)
    still = eqx.tree_at(lambda z: (z.binding, z.plasma), zones, (cells, lambda _: number(0.7)))
    held = cells.on * 0.7 * cells.sites / (cells.on * 0.7 + cells.off)
    rest = jnp.zeros_like(still.start()).at[0].set(0.7).at[1].set(held)
    np.testing.assert_allclose(still.advance(rest, number(0.0), number(500.0)), rest, atol=1e-10)


def test_a_plane_of_voxels_is_conserved_and_a_voxel_without_capillaries_takes_from_its_neighbours():
    known = VOXELS._replace(density=VOXELS.density.at[1].set(0.0))
    known = DrugVoxels(*known[:3], *(jnp.full(COUNT, part[0]) for part in known[3:]))
    zones = LAW.zones(known, PLASMA)
    assert float(zones.wall[1]) == 0
    sideways = lateral_diffusion(VoxelGrid(np.ones((3, 2, 1), bool), 0.2), zones, known.diffusivity[0])
    stepper = Strang(RungeKuttaChebyshev2(sideways, 8), zones)
    assert bool(stepper.stable(number(60.0)))
    run = quick_jit(lambda state: jax.lax.scan(lambda s, t: (stepper.advance(s, t, number(60.0)), None), state, 60.0 * jnp.arange(10.0))[0])
    state = run(stepper.full.start())
    assert float(zones.amount(state).sum()) == pytest.approx(float(state[3].sum()), rel=1e-10)
    assert float(state[0, :, 1].min()) > 0 and float(state[3, :, 1].max()) == 0


def test_saved_and_loaded(tmp_path):
    save_drug_law(tmp_path / "law", LAW, {"command": "test"})
    back = load_drug_law(tmp_path / "law")
    np.testing.assert_array_equal(back.zones(VOXELS, PLASMA).between, LAW.zones(VOXELS, PLASMA).between)


def transport(**changes):
    grid = VoxelGrid(np.ones((4, 4, 1), bool), 0.01)
    place = np.array([[0.02, 0.02, 0.0]])
    cells = {"space": 0.4, "on": 0.1, "off": 1e-3, "loss": 0.0, "sites": 1.0} | {k: v for k, v in changes.items() if k != "share"}
    bed = capillary_bed(grid, place, place + np.array([0, 0, 0.01]), 0.01)
    binding = Binding(*(jnp.asarray(value, float) for value in cells.values()))
    return drug_transport(grid, bed, number(0.1), number(1e-5), binding, PLASMA, share=changes.get("share"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: transport(space=1.5), "space between 1.5"),
        (lambda: transport(on=0.0), "on between 0"),
        (lambda: transport(sites=-1.0), "sites between -1"),
        (lambda: transport(loss=float("nan")), "loss between nan"),
        (lambda: transport(off=[1e-3, 1e-3]), "off of shape"),
        (lambda: transport(share=jnp.asarray([-1.0])), "concentration in the blood between -1"),
        (lambda: TwoCompartment(*map(number, (0.0, 1.0, 1.0, 1.0))), "volume between 0"),
        (lambda: TwoCompartment(*map(number, (1.0, -1.0, 1.0, 1.0))), "clearance between -1"),
        (lambda: LAW.zones(VOXELS._replace(off=0 * VOXELS.off), PLASMA), "off 0 in voxel 0"),
        (lambda: LAW.zones(VOXELS._replace(sites=VOXELS.sites[:2]), PLASMA), "sites of shape"),
        (lambda: DrugLaw.create(0, VOXELS, 5.0), "capillary of 5"),
        (lambda: DrugLaw.create(0, VOXELS, 0.005, (0.5, 0.1)), "shares"),
        (lambda: lateral_diffusion(VoxelGrid(np.ones((2, 2, 2), bool), 1.0), krogh_zones(VOXELS, PLASMA, 0.005), 1e-5), "section"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    with pytest.raises((ValueError, InputError), match=message) as caught:
        change()
    assert "\n" not in str(caught.value)
