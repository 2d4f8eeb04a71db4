"""Virtual patients: reproducible, valid as any record, and silent about their truth."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from tests import tiny_glioma as tiny
from twinsim import virtual_patient as made
from twinsim.errors import InputError
from twinsim.glioma_priors import GLIOMA_PRIORS
from twinsim.patient import load_patient, save_patient

SPACING = 6.0
HORIZON = 20.0


@pytest.fixture(scope="module")
def small_brain():
    """A ball of 96 mm instead of the atlas, at any spacing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "mni152", lambda spacing: tiny.anatomy(spacing, round(96 / spacing)))
        yield


@pytest.fixture(scope="module")
def patient(small_brain):
    return made.virtual_patient(7, SPACING, HORIZON)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_patient(patient):
    record, truth = patient
    again, same = made.virtual_patient(7, SPACING, HORIZON)
    assert again == record
    assert same.values == truth.values
    np.testing.assert_array_equal(same.volume_mm3, truth.volume_mm3)


def test_another_seed_gives_another_patient():
    draws = [made._draw(np.random.default_rng([seed, 20]), tiny.anatomy(3.0, 32)) for seed in (7, 8)]
    assert all(draws[0][name] != draws[1][name] for name in draws[0])


def test_the_scans_are_a_valid_record(patient):
    record, truth = patient
    assert [scan.day for scan in record.scans] == list(made.SCAN_DAYS)
    assert record.anatomy.spacing_mm == (SPACING,) * 3
    for scan in record.scans:
        assert scan.oedema.any() and scan.oedema.dtype == bool
        assert (scan.oedema & ~record.anatomy.mask).sum() < 0.05 * scan.oedema.sum()
        assert scan.enhancing_core is None or not (scan.enhancing_core & ~scan.oedema).any()
        assert scan.cellularity.dtype == np.float32
        assert scan.cellularity.min() >= 0 and scan.cellularity.max() <= 1
        assert scan.cellularity_noise == made.STATED_NOISE
        assert not scan.cellularity[~scan.cellularity_mask].any()
    assert [fraction.day for fraction in record.radiotherapy.fractions] == list(made.FRACTION_DAYS)
    assert truth.days[0] == made.SCAN_DAYS[-1] and truth.days[-1] == made.SCAN_DAYS[-1] + HORIZON
    assert truth.forecast_volume_mm3 == truth.volume_mm3[-1] > truth.volume_mm3[0] > 0
    assert truth.density.shape == record.anatomy.shape


def test_the_tumour_was_drawn_inside_the_priors(patient):
    _, truth = patient
    by_name = {prior.name: prior for prior in GLIOMA_PRIORS}
    for name, value in truth.values.items():
        if name in by_name:
            low, high = by_name[name].interval(0.99)
            assert low < value < high, name


def test_the_maps_are_noisy_images_of_the_truth(patient):
    record, truth = patient
    last = record.scans[-1]
    error = (last.cellularity - truth.density)[last.cellularity_mask]
    assert 0.01 < np.sqrt(np.mean(error**2)) < 0.15


def secrets(truth):
    """Every number of the truth, and the curve."""
    return [*truth.values.values(), *truth.volume_mm3.tolist()]


def test_the_record_does_not_hold_the_truth(patient):
    record, truth = patient
    kept = pickle.dumps(record)
    told = pickle.dumps(truth.values)
    for value in truth.values.values():
        assert struct.pack(">d", value) in told  # the search would find it
    for value in secrets(truth):
        assert struct.pack(">d", value) not in kept and struct.pack("<d", value) not in kept
    assert not any(np.array_equal(array, truth.density.astype(array.dtype)) for scan in record.scans for array in scan.volumes().values())


def contents(folder: Path) -> bytes:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert len(files) > 5
    return b"".join(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in files)


def test_the_saved_folder_does_not_hold_the_truth(patient, tmp_path):
    record, truth = patient
    folder = save_patient(record, tmp_path / "patient")
    kept = contents(folder)
    assert b"virtual patient 7" in kept
    for value in secrets(truth):
        assert struct.pack("<d", value) not in kept
        assert f"{value:.5g}".encode() not in kept
    for name in truth.values:
        assert name.encode() not in kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["patient"]


def test_the_folder_reads_back_equal(patient, tmp_path):
    record, _ = patient
    assert load_patient(save_patient(record, tmp_path / "patient")) == record


def test_a_seed_without_a_tumour_is_one_clear_error(small_brain, monkeypatch):
    monkeypatch.setattr(made, "_burden_for_volume", lambda *arguments, **named: None)
    with pytest.raises(InputError, match="another seed"):
        made.virtual_patient(7, SPACING, HORIZON)
