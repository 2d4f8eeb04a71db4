"""Epileptogenicity from electrodes: the model's order and gradient, scores, what recordings are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from physics import monopole_gain, synthetic_connectome
from twinsim.data import locate
from twinsim.errors import InputError
from twinsim.intracranial_recording import ICTAL, line_length, log_envelope, published_fragility, read_recording
from twinsim.ranking import area_under_curve, bootstrap_interval, hits_among_first
from twinsim.seizure_inverse import THRESHOLD, SeizureModel

VALUES = {name: jnp.asarray(value) for name, value in (("coupling", 1.0), ("slow_time", 20.0), ("offset", 0.1), ("scale", 1.2))}
X0 = jnp.asarray([-1.6, -2.3, -2.2, -1.9])


def model(step: float = 0.1, every: int = 2) -> SeizureModel:
    connectome = synthetic_connectome(4, 2)
    gain = 100 * np.asarray(
        monopole_gain(np.repeat(connectome.centres, 2, axis=0) + 3.0, connectome.centres, law="inverse square", nearest_mm=10.0)
    )
    made = SeizureModel.between(connectome.scaled().weights, gain, resting=True)
    return SeizureModel(made.weights, made.gain, made.inverse, made.start, step, every)


@pytest.mark.slow
def test_sources_are_of_order_two():
    nothing = jnp.zeros((20, 8))
    fine = model(1 / 1024, 512).sources(X0, VALUES, nothing, jnp.asarray(0.0))
    steps = [1 / 16, 1 / 32, 1 / 64, 1 / 128]
    errors = [float(jnp.abs(model(h, round(0.5 / h)).sources(X0, VALUES, nothing, jnp.asarray(0.0)) - fine).max()) for h in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2.0, abs=0.2)


def test_a_region_seizes_by_itself_above_the_threshold_only():
    alone = SeizureModel.between(np.zeros((2, 2)), np.eye(2), resting=True, every=5)
    alone = SeizureModel(alone.weights, alone.gain, alone.inverse, alone.start, 0.1, 100)
    x0 = jnp.asarray([THRESHOLD + 0.02, THRESHOLD - 0.02])
    slow = {**VALUES, "slow_time": jnp.asarray(300.0)}
    found = alone.sources(x0, slow, jnp.zeros((300, 2)), jnp.asarray(0.0))
    assert float(found[:, 0].max()) > 0 > -1 > float(found[:, 1].max())


@pytest.mark.parametrize("pull", [0.0, 0.5])
@pytest.mark.quick(1)
def test_gradient_against_central_differences(pull):
    one = model()
    observed = jnp.asarray(np.random.default_rng(0).normal(size=(40, 8)))

    def cost(x: jax.Array) -> jax.Array:
        values = {**VALUES, "coupling": x[4], "slow_time": x[5], "offset": x[6], "scale": x[7]}
        return jnp.sum(
            one.predict({**{f"epileptogenicity {i}": x[i] for i in range(4)}, **values}, (), (observed, jnp.asarray(pull)))[0] ** 2
        )

    at = jnp.concatenate([X0, jnp.asarray([1.0, 20.0, 0.1, 1.2])])
    reverse, forward = jax.grad(cost)(at), jax.jacfwd(cost)(at)
    for place in range(8):
        away = jnp.zeros(8).at[place].set(1e-5)
        assert float(reverse[place]) == pytest.approx(float((cost(at + away) - cost(at - away)) / 2e-5), rel=1e-6, abs=1e-6)
    np.testing.assert_allclose(forward, reverse, rtol=1e-10)


def test_area_under_curve_counts_pairs():
    generator = np.random.default_rng(1)
    score, truth = generator.integers(0, 5, 40).astype(float), generator.random(40) < 0.3
    pairs = score[truth][:, None] - score[~truth][None]
    assert area_under_curve(score, truth) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    assert np.isnan(area_under_curve(score, np.zeros(40, bool)))
    assert hits_among_first(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False]), 2) == 1
    low, high = bootstrap_interval(score, truth, 0, draws=200)
    assert low < area_under_curve(score, truth) < high


def test_the_recorded_seizure():
    recording = read_recording("ieeg_ictal")
    assert recording.values.shape == (84, 3001) and recording.onset_zone is not None and recording.onset_zone.sum() == 10
    assert not recording.dropped and published_fragility().shape == (84, 23)
    times, feature = log_envelope(recording, (1.0, 200.0), 0.25, 0.04)
    assert feature.shape == (63, 84) and times[0] == pytest.approx(-0.749)
    assert np.quantile(feature, [0.05, 0.995]) == pytest.approx([-2, 1])
    assert area_under_curve(line_length(recording), recording.onset_zone) == pytest.approx(0.732, abs=0.001)
    with pytest.raises(InputError, match="within 0 to 500 Hz"):
        log_envelope(recording, (1.0, 600.0), 0.25, 0.04)


def changed(path, **changes):
    with np.load(locate("ieeg_ictal") / ICTAL) as content:
        held = {name: content[name] for name in content.files}
    held["ecog"] = held["ecog"].copy()
    for name, change in changes.items():
        if change is None:
            del held[name]
        else:
            held[name] = change(held[name])
    np.savez(path, **held)
    return str(path)


def spoiled(values):
    values[3, 100] = np.nan
    return values


def useless(values):
    values[0] = 5.0
    values[1] = np.clip(values[1], -2e4, 2e4)
    return values


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fs": None}, "without fs"),
        ({"fs": lambda _: np.array(512)}, "correct the rate"),
        ({"fs": lambda _: np.array(1.0)}, "100 to 50000 Hz"),
        ({"ecog": spoiled}, "nan in channel G4"),
        ({"ecog": lambda values: values[:, :50]}, "one row per channel"),
        ({"channels": lambda names: np.array(["G1", *names[:-1]])}, "channel G1 twice"),
        ({"soz": lambda zone: zone[:5]}, "one truth value per channel"),
        ({"ecog": lambda values: 0 * values}, "at least 3"),
    ],
)
def test_bad_recordings_are_one_line(tmp_path, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        read_recording(changed(tmp_path / "bad.npz", **changes))
    assert "\n" not in str(caught.value)


def test_flat_and_clipped_channels_are_left_out_with_the_reason(tmp_path):
    recording = read_recording(changed(tmp_path / "some.npz", ecog=useless))
    assert recording.dropped == {"G1": "flat", "G2": "clipped"} and len(recording.channels) == 82
    (tmp_path / "no.npz").write_bytes(b"nothing")
    for path, words in ((tmp_path / "no.npz", "does not open"), (tmp_path / "none.npz", "no recording")):
        with pytest.raises(InputError, match=words):
            read_recording(str(path))
