"""The localised ensemble on a small growing tumour, and the forecast as a served call."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import gaussian_seed
from solvers import Diffusion, VoxelGrid
from tests.problems import quick_jit
from tests.twinsim.assimilation.filtering import Oscillator, prior_members
from twinsim.assimilation import (
    EnsembleKalmanFilter,
    Gate,
    LocalisedEnsembleFilter,
    equal_ensemble,
    gaspari_cohn,
)
from twinsim.assimilation.forecast_service import ForecastService
from twinsim.assimilation.voxel_twin import VoxelTwin, blocks_of
from twinsim.errors import InputError

TRUTH = {"diffusivity": 0.12, "proliferation": 0.045}
DAYS = (10.0, 25.0, 40.0)


@pytest.fixture(scope="module")
def stream():
    """Thirty members with other seeds, diffusivities and rates than the truth; blocks of 2³ voxels are read three times."""
    mask = np.ones((10, 9, 8), dtype=bool)
    mask[:2, :2] = False
    grid = VoxelGrid(mask, 2.0)
    blocks, centres, places = blocks_of(grid, 2)
    model = VoxelTwin(grid, Diffusion(grid, np.ones(grid.shape)), blocks, noise=0.04, walk=0.0, max_step=5.0)
    rng = np.random.default_rng(4)
    active = np.flatnonzero(mask.reshape(-1))

    @quick_jit
    @jax.vmap
    def states(e):
        centre = jnp.array([9.5, 9.5, 8.0]) + 1.5 * e[:3]
        field = gaussian_seed(grid, centre, 120 * jnp.exp(0.3 * e[3]))[active]
        return jnp.concatenate([field, jnp.log(jnp.stack([0.08 * jnp.exp(0.5 * e[4]), 0.03 * jnp.exp(0.4 * e[5])]))])

    # The last one is the truth: a seed one spread away, faster than the members in both respects.
    far = [1.0, -0.3, -0.7, 0.74, np.log(TRUTH["diffusivity"] / 0.08) / 0.5, np.log(TRUTH["proliferation"] / 0.03) / 0.4]
    drawn = states(jnp.asarray(np.vstack([rng.normal(size=(30, 6)), far])))
    members, truth = drawn[:-1], drawn[-1]
    open_gate = Gate(limit=float("inf"), action="flag")
    local = LocalisedEnsembleFilter(places, centres, half_width=6.0, parameter_taper=0.5, inflation=1.02, gate=open_gate)

    @quick_jit
    def run(truth, members):
        def follow(method):
            def step(carry, column):
                belief, actual = carry
                day, key = column
                actual = model.advance(actual, belief.time, day - belief.time, jnp.zeros(2))
                values = model.predict(actual) + 0.04 * jax.random.normal(key, (model.channels,))
                belief, _ = method.update(model, belief, day, values, jnp.ones(model.channels, bool), key)
                return (belief, actual), (belief.mean, belief.deviation, actual)

            columns = (jnp.asarray(DAYS), jax.random.split(jax.random.key(0), len(DAYS)))
            return jax.lax.scan(step, (equal_ensemble(members, 0.0), truth), columns)[1]

        free = jax.vmap(lambda m: model.advance(m, jnp.zeros(()), jnp.asarray(DAYS[-1]), jnp.zeros(2)))(members)
        return follow(local), free.mean(0)

    return grid, model, run(truth, members)


def test_the_localised_filter_finds_the_tumour_and_knows_how_well(stream):
    _, _, (local, free) = stream
    mean, deviation, actual = (np.asarray(part)[-1] for part in local)

    def error(state):
        return np.sqrt(np.mean((np.asarray(state)[:-2] - actual[:-2]) ** 2))

    assert error(mean) < 0.33 * error(free)
    spread = np.sqrt(np.mean(deviation[:-2] ** 2))
    assert 0.4 < error(mean) / spread < 2.5
    for index, name in ((-2, "diffusivity"), (-1, "proliferation")):
        assert abs(mean[index] - np.log(TRUTH[name])) < 3 * deviation[index]
    assert abs(mean[-1] - np.log(TRUTH["proliferation"])) < 0.6 * abs(np.log(0.03 / TRUTH["proliferation"]))


def test_with_few_members_the_taper_brings_the_filter_nearer_to_the_exact_update():
    """A random field on 60 voxels, correlated over six, 20 members, every second voxel read: the exact update is known."""
    x = np.arange(60.0)
    prior = np.asarray(gaspari_cohn(jnp.asarray(np.abs(x[:, None] - x[None])), 6.0))
    rng = np.random.default_rng(2)
    root = np.linalg.cholesky(prior + 1e-9 * np.eye(60))
    truth, seen = root @ rng.normal(size=60), np.arange(0, 60, 2)
    values = truth[seen] + 0.3 * rng.normal(size=30)
    gain = prior[:, seen] @ np.linalg.inv(prior[np.ix_(seen, seen)] + 0.09 * np.eye(30))
    exact = gain @ values
    members = rng.normal(size=(20, 60)) @ root.T
    members = jnp.asarray(members - members.mean(0))

    class Field(Oscillator):
        def advance(self, state, start, length, noise):
            return state

        def predict(self, state):
            return state[::2]

        def error(self, predicted):
            return jnp.full_like(predicted, 0.3)

    places = jnp.asarray(np.stack([x, 0 * x, 0 * x], 1))

    @quick_jit
    def errors(members):
        found = []
        for width in (6.0, float("inf")):
            method = LocalisedEnsembleFilter(places, places[::2], half_width=width, gate=Gate(float("inf"), "flag"))
            args = jnp.ones(()), jnp.asarray(values), jnp.ones(30, bool), jax.random.key(0)
            after, _ = method.update(Field(jnp.zeros(())), equal_ensemble(members, 0.0), *args)
            found.append(jnp.sqrt(jnp.mean((after.mean - exact) ** 2)))
        return found

    local, everywhere = map(float, errors(members))
    assert local < 0.5 * everywhere
    assert local < 0.5 * np.sqrt(np.mean(exact**2))


def test_densities_stay_densities_and_nothing_moves_beyond_the_taper(stream):
    grid, model, (local, _) = stream
    assert float(local[0][:, :-2].min()) >= 0 and float(local[0][:, :-2].max()) <= 1
    blocks, centres, places = blocks_of(grid, 2)
    method = LocalisedEnsembleFilter(places, centres, half_width=3.0, parameter_taper=0.0)
    rng = np.random.default_rng(0)
    members = jnp.asarray(np.concatenate([rng.uniform(0.2, 0.4, (6, blocks.size)), rng.normal(-3.0, 0.1, (6, 2))], 1))
    mask = jnp.zeros(model.channels, bool).at[0].set(True)
    update = quick_jit(lambda e: method.update(model, e, jnp.zeros(()), jnp.full(model.channels, 0.9), mask, jax.random.key(0)))
    moved = np.abs(np.asarray(update(equal_ensemble(members, 0.0))[0].members - members)).max(0)
    distance = np.linalg.norm(np.asarray(places)[:-2] - np.asarray(centres)[0], axis=1)
    assert (moved[:-2][distance >= 6.0] == 0).all() and (moved[-2:] == 0).all()
    assert (moved[:-2][distance < 4.0] > 0).all()


def test_a_served_forecast_answers_and_refuses_in_json():
    model, method = Oscillator(jnp.asarray(0.1)), EnsembleKalmanFilter()
    belief = equal_ensemble(prior_members(400), 0.0)
    service = ForecastService(model, method, belief, step=0.5, steps=4)
    answer = json.loads(service.answer(belief, '{"horizon": 1.0}'))
    assert answer["ahead"] == [0.5, 1.0] and len(answer["mean"]) == 2
    # One step of the linear model in closed form: mean and 90 % interval of a reading.
    turn = np.array([np.cos(0.5), np.sin(0.5)]) * np.exp(-0.05)
    mean, variance = turn @ [1.0, 0.0], turn @ np.array([[1.0, 0.3], [0.3, 0.5]]) @ turn + 0.09 * 0.5 + 0.16
    assert answer["mean"][0][0] == pytest.approx(mean, abs=1e-9)
    assert answer["high"][0][0] - answer["low"][0][0] == pytest.approx(3.29 * np.sqrt(variance), rel=0.15)
    assert json.loads(service.answer(belief, '{"horizon": 1.0}')) == answer
    for request in ("{", "[1]", '{"horizon": "long"}', '{"horizon": 99}', '{"horizon": 1, "more": 2}'):
        error = json.loads(service.answer(belief, request))["error"]
        assert "expected" in error and "do: " in error and "\n" not in error
    broken = eqx.tree_at(lambda e: e.members, belief, belief.members.at[3].set(jnp.nan))
    assert "not finite" in json.loads(service.answer(broken, '{"horizon": 1.0}'))["error"]
    with pytest.raises(InputError, match="got step 0"):
        ForecastService(model, method, belief, step=0.0, steps=4)


def test_blocks_and_sizes_are_checked(stream):
    grid, model, _ = stream
    with pytest.raises(ValueError, match="got edge 0"):
        blocks_of(grid, 0)
    with pytest.raises(ValueError, match="one block number per active voxel"):
        VoxelTwin(grid, model.pattern, np.zeros(3, dtype=int))
