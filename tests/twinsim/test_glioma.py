"""The glioma twin: gradients, what calibration recovers, what one scan cannot tell, and bad input."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny_glioma as tiny
from tests.problems import quick_jit
from twinsim.errors import InputError
from twinsim.glioma import GliomaTwin, negative_log_posterior
from twinsim.glioma_messages import calibration_messages
from twinsim.glioma_priors import GLIOMA_PRIORS, TISSUE_PRIORS
from twinsim.patient import Scan

INDEX = {prior.name: i for i, prior in enumerate(GLIOMA_PRIORS)}


@pytest.fixture(scope="module")
def seen_thrice() -> GliomaTwin:
    """Three scans with outline and map, five fractions and three doses between the last two."""
    return tiny.twin_of(tiny.patient())


@pytest.fixture(scope="module")
def seen_once() -> GliomaTwin:
    """One scan with nothing but an outline."""
    return tiny.twin_of(tiny.patient(days=(0.0,), maps=False))


@pytest.fixture(scope="module")
def calibrated(seen_thrice) -> GliomaTwin:
    return seen_thrice.calibrate()


@pytest.fixture(scope="module")
def from_one_scan(seen_once) -> GliomaTwin:
    return seen_once.calibrate()


def test_the_gradient_is_that_of_the_negative_log_posterior(seen_thrice):
    """Forward tangents through growth, treatment and likelihood against reverse mode through all of it."""
    twin = seen_thrice
    doses = jnp.asarray(twin.given_doses)

    def objective(z):
        states, _ = twin.model.grow(z[: len(TISSUE_PRIORS)], twin.scan_mesh, doses)
        return negative_log_posterior(twin.model, states, z)

    z = tiny.Z_TRUTH + 0.1 * np.cos(np.arange(len(GLIOMA_PRIORS)))
    expected_value, expected = quick_jit(jax.value_and_grad(objective))(jnp.asarray(z))
    value, gradient, curvature = twin.evaluate(z)
    assert value == pytest.approx(float(expected_value), rel=1e-10)
    np.testing.assert_allclose(gradient, expected, atol=1e-6 * np.abs(expected).max(), rtol=1e-6)
    assert np.abs(gradient).max() > 1
    np.testing.assert_allclose(curvature, curvature.T, rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(curvature).min() >= 1 - 1e-9  # the prior alone is worth one


@pytest.mark.slow
def test_noise_free_scans_give_the_truth_back(calibrated):
    posterior = calibrated.posterior
    for name in ("diffusivity_white", "proliferation"):
        assert posterior.value(name) == pytest.approx(tiny.TRUTH[name], rel=0.02)
        low, high = posterior.interval(name, 0.9)
        assert low < tiny.TRUTH[name] < high
        assert posterior.identifiability(name) == "identified"
    assert posterior.value("radiosensitivity") == pytest.approx(tiny.TRUTH["radiosensitivity"], rel=0.1)
    assert calibrated.optimum.converged
    assert not any("One scan" in message for message in calibrated.messages)
    assert "threshold core" in " ".join(calibrated.messages)  # no scan is dense enough for a core


def test_calibration_changes_nothing_in_place(seen_thrice, calibrated):
    assert seen_thrice.posterior is None and seen_thrice.messages == ()
    assert [float(o.weight) for o in seen_thrice.model.observations] == [pytest.approx(0.05)] * 6
    assert all(0 < float(o.weight) <= 1 for o in calibrated.model.observations)


@pytest.mark.slow
def test_one_scan_says_what_it_cannot_tell(from_one_scan):
    posterior = from_one_scan.posterior
    (message,) = [text for text in from_one_scan.messages if "One scan" in text]
    assert "only a combination is informed" in message
    (_, wide), (narrow, tight) = posterior.combinations(("diffusivity_white", "proliferation"))
    assert "+" in narrow and "-" in narrow, "a ratio is what one scan informs"
    assert tight < 0.75 * wide and wide > 0.65
    for name in ("radiosensitivity", "drug_sensitivity", "threshold_core"):
        assert posterior.identifiability(name) == "prior only"
        assert posterior.spread(name) == pytest.approx(1.0, abs=1e-6)
        assert name.replace("_", " ") in " ".join(from_one_scan.messages)


def width_of_proliferation(twin: GliomaTwin) -> float:
    """Of its 90 % interval, relative to the prior's, on the logarithmic scale."""
    prior = GLIOMA_PRIORS[INDEX["proliferation"]]
    (low, high), (prior_low, prior_high) = twin.posterior.interval("proliferation", 0.9), prior.interval(0.9)
    return float(np.log(high / low) / np.log(prior_high / prior_low))


@pytest.mark.slow
def test_one_scan_leaves_much_of_the_prior_s_width(from_one_scan, calibrated):
    """Its volume still ties rate, growth time and first burden together: some of the prior's width goes, most stays."""
    assert width_of_proliferation(from_one_scan) > 0.5
    assert width_of_proliferation(from_one_scan) > 5 * width_of_proliferation(calibrated)


@pytest.mark.slow
def test_one_scan_leaves_the_speed_of_growth_as_wide_as_the_prior(from_one_scan):
    """The combination that sets how fast the tumour grows keeps its prior spread, and each factor keeps most of its own."""
    (_, widest), _ = from_one_scan.posterior.combinations(("diffusivity_white", "proliferation"))
    assert widest > 0.8
    assert width_of_proliferation(from_one_scan) > 0.65


def test_a_value_far_from_the_prior_and_a_front_thinner_than_a_voxel_are_told(calibrated):
    assert not any("Far from" in text for text in calibrated.messages)
    sharp = replace(calibrated.posterior, mean=calibrated.posterior.mean.copy())
    sharp.mean[INDEX["diffusivity_white"]], sharp.mean[INDEX["proliferation"]] = -2.5, 1.0
    found = " ".join(calibration_messages(calibrated.record, sharp, calibrated.optimum))
    assert "diffusivity white (0.0203 mm^2/day, 2.5 below)" in found and "proliferation (" not in found
    assert "do not resolve a front of width sqrt(D/rho) = 0.64 mm" in found


@pytest.mark.slow
def test_a_diffusivity_beyond_the_limit_gets_the_stages_for_it(seen_thrice):
    fast = tiny.Z_TRUTH.copy()
    fast[INDEX["diffusivity_white"]] = GLIOMA_PRIORS[INDEX["diffusivity_white"]].coordinate(8.0)
    doses, start = jnp.asarray(seen_thrice.given_doses), jnp.asarray(fast[: len(TISSUE_PRIORS)])
    grow = eqx.filter_jit(lambda model: model.grow(start, seen_thrice.scan_mesh, doses)[1])
    assert int(grow(seen_thrice.model)) != 0
    ready = seen_thrice.stable_over(np.stack([tiny.Z_TRUTH, fast]))
    assert ready.model.stages > seen_thrice.model.stages
    assert int(grow(ready.model)) == 0
    assert seen_thrice.stable_over(tiny.Z_TRUTH[None]) is seen_thrice
    assert ready.stable_over(tiny.Z_TRUTH[None]) is ready
    assert ready.going_on(tiny.Z_TRUTH[None]).stages < ready.going_on(fast[None]).stages <= ready.model.stages
    value, _, curvature = seen_thrice.evaluate(fast)
    assert np.isfinite(value)
    assert np.linalg.eigvalsh(curvature).min() >= 1 - 1e-9


@pytest.mark.slow
def test_a_start_that_only_coarse_voxels_can_take_is_made_stable(seen_thrice):
    """Coarse voxels allow a larger diffusivity per step, so a search there may end where the fine model is unstable."""
    start = tiny.Z_TRUTH.copy()
    start[INDEX["diffusivity_white"]] = GLIOMA_PRIORS[INDEX["diffusivity_white"]].coordinate(4.0)
    assert seen_thrice.stable_over(start[None]).model.stages > seen_thrice.model.stages
    found = seen_thrice.calibrate(start)
    low, high = found.posterior.interval("diffusivity_white", 0.9)
    assert found.optimum.converged and low < tiny.TRUTH["diffusivity_white"] < high
    # Weights were estimated where residuals were large: the outlines count for less than from a good start, and the interval is wider.
    assert found.posterior.value("diffusivity_white") == pytest.approx(tiny.TRUTH["diffusivity_white"], rel=0.05)


@pytest.mark.slow
def test_the_best_of_several_starts_is_kept(seen_thrice):
    lines = []
    starts = [tiny.Z_TRUTH, np.zeros(len(GLIOMA_PRIORS))]
    best = seen_thrice.searched(starts, lines.append)
    assert len(lines) == 2 and "start 2 of 2" in lines[1]
    assert seen_thrice.evaluate(best)[0] <= min(seen_thrice.evaluate(start)[0] for start in starts)


@pytest.mark.slow
def test_an_outline_that_no_round_tumour_follows_counts_as_less_certain(seen_once):
    """Four balls around an empty middle: certain outlines are best fitted by a density just under the threshold everywhere."""
    corners = [(x, y, 0.0) for x in (-14.0, 14.0) for y in (-14.0, 14.0)]
    scattered = np.logical_or.reduce([tiny.spot(centre, 7.0) for centre in corners])
    twin = tiny.twin_of(tiny.record(days=(0.0,), fractions=(), drug_days=(), scans=(Scan(0.0, oedema=scattered),)))
    starts, lines = [np.zeros(len(GLIOMA_PRIORS))], []
    usual = twin.searched(starts)
    looser, best = twin.loosened(usual, starts, lines.append)
    assert looser.outline_sd_mm in (1.4, 2.8, 5.6) and len(lines) == 3
    assert looser.evaluate(best)[0] < twin.evaluate(usual)[0]
    assert twin.outline_sd_mm == 0.7 and looser.outlined(0.7).outline_sd_mm == 0.7

    same, point = seen_once.loosened(tiny.Z_TRUTH, starts, lines.append)
    assert same is seen_once and point is tiny.Z_TRUTH and len(lines) == 3


def test_the_region_is_cut_out_with_its_margin():
    from twinsim.glioma import glioma_twin

    record = tiny.record(days=(0.0,))
    whole, part = tiny.twin_of(record), glioma_twin(record, margin_mm=8.0)
    assert whole.anatomy.shape == record.anatomy.shape
    where = np.argwhere(tiny.spot())
    assert part.anatomy.shape == tuple(where.max(0) - where.min(0) + 1 + 4)
    np.testing.assert_allclose(part.anatomy.affine[:3, 3], record.anatomy.world_of_index(where.min(0) - 2))
    world = [twin.anatomy.affine[:3, 3] + np.asarray(twin.model.centre) for twin in (whole, part)]
    np.testing.assert_allclose(world[0], world[1], atol=1e-5)


def test_only_fractions_before_the_last_scan_are_given_doses():
    assert tiny.twin_of(tiny.record(days=(0.0, 33.0))).given_doses.tolist() == [2.0, 2.0]
    assert tiny.twin_of(tiny.record(days=(0.0, 60.0))).given_doses.tolist() == [2.0] * 5


def test_a_lesion_in_fluid_is_refused():
    in_fluid = tiny.spot((14.4, 0.0, 0.0), 5.0) & ~tiny.anatomy().mask
    assert in_fluid.any()
    with pytest.raises(InputError, match="cerebrospinal fluid"):
        tiny.twin_of(tiny.record(scans=(Scan(0.0, oedema=in_fluid),)))


def test_a_lesion_round_fluid_is_seeded_in_its_nearest_tissue():
    twin = tiny.twin_of(tiny.record(scans=(Scan(0.0, oedema=tiny.spot((14.4, 0.0, 0.0), 10.0)),)))
    index = np.round(np.asarray(twin.model.centre) / 4.0).astype(int)
    assert twin.anatomy.mask[tuple(index)]


@pytest.mark.parametrize(
    "scan",
    [
        Scan(0.0, oedema=np.zeros((16, 16, 16), bool)),
        Scan(0.0, cellularity=np.full((16, 16, 16), 0.01, np.float32), cellularity_noise=0.1),
        Scan(0.0, cellularity=np.ones((16, 16, 16), np.float32), cellularity_noise=0.1, cellularity_mask=np.zeros((16, 16, 16), bool)),
        Scan(0.0),
    ],
    ids=["empty outline", "empty map", "nothing trusted", "nothing seen"],
)
def test_scans_without_a_lesion_are_refused(scan):
    with pytest.raises(InputError, match="no abnormal voxel"):
        tiny.twin_of(tiny.record(scans=(scan,)))


def test_a_model_that_cannot_run_is_one_clear_error(seen_thrice):
    broken = replace(seen_thrice, model=eqx.tree_at(lambda m: m.centre, seen_thrice.model, jnp.asarray(np.full(3, np.nan))))
    with pytest.raises(InputError, match="no finite likelihood"):
        broken.calibrate()


def test_seed_positions_mean_the_same_place_on_other_voxels():
    fine = tiny.twin_of(tiny.record(days=(0.0,)))
    elsewhere = tiny.twin_of(tiny.record(scans=(Scan(0.0, oedema=tiny.spot((-2.0, 6.0, -2.0))),)))
    z = tiny.Z_TRUTH
    moved = elsewhere.translated(z, fine)

    def world(twin, z):
        offset = np.array([GLIOMA_PRIORS[INDEX[name]].value(jnp.asarray(z[INDEX[name]])) for name in ("seed_x", "seed_y", "seed_z")])
        return twin.anatomy.world_of_index((np.asarray(twin.model.centre) + offset) / twin.anatomy.spacing_mm)

    np.testing.assert_allclose(world(elsewhere, moved), world(fine, z), atol=1e-9)
    assert np.abs(moved - z).max() > 0.1
    np.testing.assert_allclose(fine.translated(moved, elsewhere), z, atol=1e-9)


def test_a_coarser_calibration_widens_the_posterior():
    twin = tiny.informed_twin()
    shift = np.zeros(tiny.Z_TRUTH.size)
    shift[INDEX["diffusivity_white"]] = 0.1
    coarse = replace(twin, posterior=replace(twin.posterior, mean=twin.posterior.mean + shift))
    wider = twin.widened_by(coarse)
    np.testing.assert_allclose(wider.posterior.covariance, twin.posterior.covariance + np.outer(shift, shift), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="without a posterior"):
        twin.widened_by(replace(coarse, posterior=None))
