"""Patient folders: what they mean, that they survive a round trip, and that every mistake is told with its line."""

import re
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from twinsim.anatomy import Anatomy, mni152
from twinsim.errors import InputError
from twinsim.patient import (
    Chemotherapy,
    PatientRecord,
    Radiotherapy,
    RadiotherapyFraction,
    Scan,
    load_patient,
    save_patient,
)
from twinsim.quantities import quantity

SHAPE = (8, 9, 10)
AFFINE = np.array([[1.5, 0, 0, -6], [0, 1.0, 0, 3], [0, 0, 2.0, 7], [0, 0, 0, 1]])

GOOD = """\
name: example
anatomy:
  white: white.nii.gz
  grey: grey.nii.gz
scans:
  - date: 2024-01-15
    pre_treatment: true
    enhancing_core: core.nii.gz
    oedema: oedema.nii.gz
  - date: 2024-03-04
    segmentation:
      file: labels.nii.gz
      core_labels: [1, 4]
      oedema_labels: [2]
  - date: 2024-05-20
    post_treatment: true
    lesion: oedema.nii.gz
    cellularity:
      file: percent.nii.gz
      unit: percent
      noise: 5
radiotherapy:
  course:
    start: 2024-02-05
    fractions: 6
    dose_per_fraction: 2 Gy
  fractions:
    - {date: 2024-03-18, dose: 180 cGy}
  dose_map:
    file: dose.nii.gz
    unit: cGy
chemotherapy:
  drug: temozolomide
  daily: {start: 2024-02-05, days: 3, dose: 75 mg/m^2}
  cycles: {start: 2024-04-15, count: 2, days_per_cycle: 2, dose: 0.15 g/m^2}
  doses:
    - {date: 2024-10-07, dose: 200 mg/m^2}
"""


def box(low: int, high: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[low:high, low:high, low:high] = True
    return mask


def write(path: Path, array, affine=AFFINE) -> None:
    array = np.asarray(array)
    nibabel.save(nibabel.Nifti1Image(array.astype(np.uint8 if array.dtype == bool else array.dtype), affine), path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with all volumes that the examples name, and the good ``patient.yaml``."""
    core, oedema = box(4, 6), box(3, 7)
    labels = np.where(core, 4, np.where(oedema, 2, 0)).astype(np.int16)
    labels[4, 4, 4] = 1
    moved = AFFINE.copy()
    moved[2, 3] += 0.5
    bad = np.full(SHAPE, 0.5, np.float32)
    bad[1, 2, 3] = bad[2, 2, 2] = np.nan
    volumes = {
        "white": box(1, 8).astype(np.float32) * 0.75,
        "grey": box(1, 8).astype(np.float32) * 0.25,
        "core": core,
        "oedema": oedema,
        "shifted_core": box(5, 8),
        "labels": labels,
        "percent": box(3, 7).astype(np.float32) * 40,
        "dose": np.full(SHAPE, 1380, np.float32),
        "empty": np.zeros(SHAPE, np.uint8),
        "nan": bad,
        "negative": np.where(box(2, 3), -0.1, 0.5).astype(np.float32),
        "far": box(0, 1),
        "between": np.where(core, 3.4, 0).astype(np.float32),
        "bytes": box(1, 8).astype(np.float32) * 255,
        "whole": np.ones(SHAPE, np.uint8),
    }
    for name, array in volumes.items():
        write(tmp_path / f"{name}.nii.gz", array)
    write(tmp_path / "moved.nii.gz", oedema, moved)
    write(tmp_path / "small.nii.gz", np.ones((4, 4, 4), np.uint8))
    write(tmp_path / "four.nii.gz", np.ones((4, 4, 4, 2), np.float32))
    (tmp_path / "patient.yaml").write_text(GOOD)
    return tmp_path


def test_the_example_means_what_it_says(folder):
    record = load_patient(folder)
    assert record.name == "example"
    assert [scan.day for scan in record.scans] == [0, 49, 126]
    np.testing.assert_allclose(record.anatomy.white, box(1, 8) * 0.75)
    first, second, third = record.scans
    for scan in (first, second):
        np.testing.assert_array_equal(scan.enhancing_core, box(4, 6))
        np.testing.assert_array_equal(scan.oedema, box(3, 7))
    assert third.enhancing_core is None
    np.testing.assert_array_equal(third.oedema, box(3, 7))
    np.testing.assert_allclose(third.cellularity, box(3, 7) * 0.4, rtol=1e-6)
    assert third.cellularity_noise == pytest.approx(0.05)
    # 5 February 2024 is a Monday, so the sixth fraction comes after a weekend.
    assert [f.day for f in record.radiotherapy.fractions] == [21, 22, 23, 24, 25, 28, 63]
    assert [f.dose_gy for f in record.radiotherapy.fractions] == pytest.approx([2.0] * 6 + [1.8])
    np.testing.assert_allclose(record.radiotherapy.dose_map, 1.0, rtol=1e-6)
    assert record.chemotherapy.days == (21, 22, 23, 91, 92, 119, 120, 266)
    assert record.chemotherapy.doses_mg_per_m2 == pytest.approx([75.0] * 3 + [150.0] * 4 + [200.0])
    assert record.notes == ()
    assert record.folder == folder


def test_the_documented_example_passes_the_schema(tmp_path):
    from twinsim.patient_file import read_patient_file
    from twinsim.patient_timeline import Timeline

    page = Path(__file__).resolve().parents[2] / "docs" / "patient_folder.md"
    example = re.search(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "patient.yaml").write_text(example[1])
    timeline = Timeline(read_patient_file(tmp_path))
    fractions = timeline.fractions()
    assert len(fractions) == 31
    timeline.check_flags(timeline.scan_days(), fractions + timeline.drug_doses())


# Each row: what to replace in GOOD, by what, parts of the message, and the 1-based line that it must name.
MISTAKES = {
    "unknown key": ("    oedema: o", "    odema: o", ["unknown key 'odema'", "scans[0].odema", "did you mean 'oedema'"], 9),
    "unknown top key": ("radiotherapy:", "radiotheraphy:", ["'radiotheraphy'", "did you mean 'radiotherapy'"], 22),
    "unknown unit": ("2 Gy", "2 Gry", ["unknown unit 'Gry'", "absorbed dose", "did you mean", "'Gy'"], 26),
    "wrong dimension": ("75 mg/m^2", "75 mg", ["'mg' of dimension [mass]", "[mass] / [length] ** 2"], 34),
    "equivalent dose": ("180 cGy", "1.8 Sv", ["'Sv'", "equivalent dose"], 28),
    "no unit": ("2 Gy", "2", ["2 without a unit", "write '2 Gy'"], 26),
    "no number": ("2 Gy", "two Gy", ["'two Gy'", "a number, a space and the unit"], 26),
    "dose below zero": ("180 cGy", "-180 cGy", ["below zero", "radiotherapy.fractions[0].dose"], 28),
    "dose of zero": ("180 cGy", "0 Gy", ["dose of zero", "leave the fraction out"], 28),
    "drug dose below zero": ("200 mg/m^2", "-200 mg/m^2", ["below zero", "chemotherapy.doses[0].dose"], 37),
    "drug": ("temozolomide", "temozolamide", ["'temozolamide'", "did you mean 'temozolomide'"], 33),
    "scans out of order": ("date: 2024-03-04", "date: 2023-03-04", ["line 6", "in order of time", "scans[1].date"], 10),
    "scans decades apart": ("date: 2024-05-20", "date: 2054-05-20", ["days after the one before it", "check the year"], 15),
    "treatment decades after": ("{date: 2024-03-18", "{date: 2054-03-18", ["days after the last scan", "check the year"], 28),
    "two scans on one day": ("date: 2024-03-04", "date: 2024-01-15", ["not after the one before"], 10),
    "dates mixed with days": ("date: 2024-03-04", "day: 49", ["got a day number", "expected dates", "at line 6"], 10),
    "no time": ("  - date: 2024-03-04\n    seg", "  - seg", ["without a time", "either 'date' or 'day'"], 10),
    "two times": ("2024-03-04\n", "2024-03-04\n    day: 3\n", ["both 'date' and 'day'"], 10),
    "no such date": ("2024-03-04", "2024-13-04", ["'2024-13-04'", "dates as"], 10),
    "date as words": ("2024-03-04", "in March", ["'in March'", "a date such as 2024-03-18"], 10),
    "pre-treatment scan after treatment": (
        "start: 2024-02-05\n",
        "start: 2024-01-08\n",
        ["pre_treatment scan on day 0", "day -7, line 24", "scans[0].pre_treatment"],
        7,
    ),
    "post-treatment scan before treatment": (
        "  - date: 2024-03-04\n",
        "  - date: 2024-01-20\n    post_treatment: true\n",
        ["post_treatment scan on day 5", "before the first treatment (day 21"],
        11,
    ),
    "treatment years before": ("{date: 2024-03-18", "{date: 2014-03-18", ["before the first scan", "check the year"], 28),
    "course on a Sunday": ("start: 2024-02-05\n", "start: 2024-02-04\n", ["starts on a Sunday", "weekdays: false"], 24),
    "two fractions at once": (
        "{date: 2024-03-18",
        "{date: 2024-02-06",
        ["two fractions at one time", "the other at line 28"],
        24,
    ),
    "no fractions": ("fractions: 6", "fractions: 0", ["whole number of at least 1"], 25),
    "number of fractions as text": ("fractions: 6", "fractions: six", ["'six'", "whole number"], 25),
    "too many days in a cycle": ("days_per_cycle: 2", "days_per_cycle: 30", ["30 days of doses", "28 days"], 35),
    "missing file": ("core.nii.gz\n", "cores.nii.gz\n", ["cores.nii.gz", "did you mean", "'core.nii.gz'"], 8),
    "variable not set": ("core.nii.gz\n", "${TWINSIM_UNSET}/core.nii.gz\n", ["TWINSIM_UNSET", "not set", "export"], 8),
    "wrong shape": ("core.nii.gz\n", "small.nii.gz\n", ["(4, 4, 4)", "(8, 9, 10)", "white.nii.gz (line 3)"], 8),
    "not 3-D": ("core.nii.gz\n", "four.nii.gz\n", ["(4, 4, 4, 2)", "3-D"], 8),
    "wrong affine": ("oedema.nii.gz\n  - ", "moved.nii.gz\n  - ", ["0.5 mm away", "0.001 mm"], 9),
    "labels for a mask": ("core.nii.gz\n", "labels.nii.gz\n", ["the values 0, 1, 2, 4", "`segmentation:`"], 8),
    "empty mask": ("core.nii.gz\n", "empty.nii.gz\n", ["an empty mask"], 8),
    "empty label": ("[1, 4]", "[7]", ["no voxel has the label 7", "1, 2, 4"], 13),
    "label zero": ("[1, 4]", "[0, 4]", ["the label 0", "background"], 11),
    "one label for both": ("[1, 4]", "[2, 4]", ["the label 2 in both", "remove it from one"], 11),
    "map trusted outside of the brain": ("noise: 5\n", "noise: 5\n      mask: far.nii.gz\n", ["no voxel of the brain's tissue"], 22),
    "labels in between": ("file: labels", "file: between", ["3.4, which is no label", "nearest neighbour"], 12),
    "tissue maps in two units": ("grey: grey", "grey: bytes", ["up to 0.75 beside maps up to 255"], 3),
    "no labels": ("      core_labels: [1, 4]\n      oedema_labels: [2]\n", "", ["without labels"], 11),
    "NaN in a map": ("percent.nii.gz", "nan.nii.gz", ["2 voxels that are NaN", "first at (1, 2, 3)"], 19),
    "negative map": ("percent.nii.gz", "negative.nii.gz", ["1 voxels that are negative", "(2, 2, 2)"], 19),
    "map above one": ("unit: percent", "unit: fraction", ["64 voxels", "above 1", "unit: percent"], 19),
    "unit of a map": ("unit: percent", "unit: permille", ["'permille'", "'fraction' or 'percent'"], 20),
    "noise of zero": ("noise: 5", "noise: 0", ["number above zero", "cellularity.noise"], 21),
    "no noise": ("      noise: 5\n", "", ["no 'noise'", "scans[2].cellularity.noise"], 18),
    "noise not finite": ("noise: 5", "noise: .nan", ["a finite number"], 21),
    "lesion outside of the brain": ("lesion: oedema", "lesion: far", ["wholly outside"], 15),
    "masks and lesion": ("    oedema: oe", "    lesion: oe", ["outlined by masks and by lesion", "keep one"], 6),
    "nothing seen": (
        "    enhancing_core: core.nii.gz\n    oedema: oedema.nii.gz\n",
        "",
        ["without any observation"],
        6,
    ),
    "dose map without unit": ("    unit: cGy\n", "", ["no 'unit'"], 29),
    "dose map in another unit": ("unit: cGy", "unit: kg", ["'kg'", "absorbed dose"], 31),
    "dose map of one fraction": ("    unit: cGy\n", "    unit: Gy\n", ["whose largest dose is", "not of one fraction"], 30),
    "drug in another unit": ("dose: 75 mg/m^2", "dose: 75 g/m^2", ["at most 20000 mg/m^2"], None),
    "dose map below zero": ("dose.nii.gz", "negative.nii.gz", ["doses from -0.1"], 30),
    "two anatomies": ("  white: white.nii.gz", "  atlas: mni152\n  white: white.nii.gz", ["atlas and by white"], 2),
    "half of an anatomy": ("  grey: grey.nii.gz\n", "", ["only one of 'white' and 'grey'"], 2),
    "unknown atlas": ("white: white.nii.gz\n  grey: grey.nii.gz", "atlas: mni125", ["'mni125'", "mni152"], 3),
    "name as a number": ("name: example", "name: 7", ["7 at", "a valid string"], 1),
    "no anatomy": ("anatomy:\n  white: white.nii.gz\n  grey: grey.nii.gz\n", "", ["no 'anatomy'"], 1),
    "scans as a mapping": ("  - date: 2024-01-15\n", "    date: 2024-01-15\n", ["patient.yaml line"], None),
    "a scalar for a block": ("  course:\n    start", "  course: 3\n  no_start", ["patient.yaml line"], None),
    "a key twice": ("name: example\n", "name: example\nname: other\n", ["'name' a second time", "(line 1)"], 2),
    "no YAML": ("name: example", "name: [example", ["which is no YAML"], None),
    "a tab": ("  white:", "\twhite:", ["which is no YAML"], 3),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.quick(19)
def test_mistakes_are_told_in_one_line_with_their_place(folder, mistake, monkeypatch):
    monkeypatch.delenv("TWINSIM_UNSET", raising=False)
    old, new, parts, line = MISTAKES[mistake]
    assert GOOD.count(old) >= 1, "the row no longer fits the example"
    (folder / "patient.yaml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        load_patient(folder)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("got ")
    assert str(folder / "patient.yaml") in message, message
    for part in parts:
        assert part in message, message
    if line is not None:
        assert f"patient.yaml line {line}" in message, message


@pytest.mark.parametrize(("text", "part"), [("", "an empty file"), ("7", "block of key"), ("[1]", "block of key")])
def test_files_that_are_no_patient(tmp_path, text, part):
    (tmp_path / "patient.yaml").write_text(text)
    with pytest.raises(InputError, match=part):
        load_patient(tmp_path)


def test_missing_folder_and_file(tmp_path):
    (tmp_path / "patient_one").mkdir()
    with pytest.raises(InputError, match="did you mean 'patient_one'"):
        load_patient(tmp_path / "patient_on")
    with pytest.raises(InputError, match=r"without a patient\.yaml"):
        load_patient(tmp_path / "patient_one")


def test_not_utf8(tmp_path):
    (tmp_path / "patient.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        load_patient(tmp_path)


def test_files_are_found_through_variables_and_home(folder, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", str(folder))
    monkeypatch.setenv("HOME", str(folder))
    text = GOOD.replace(" core.nii.gz", " ${SOMEWHERE}/core.nii.gz").replace(" white.nii", " ~/white.nii")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    for name in ("grey", "oedema", "labels", "percent", "dose"):
        text = text.replace(f" {name}.nii", f" ../{name}.nii")
    (elsewhere / "patient.yaml").write_text(text)
    assert load_patient(elsewhere) == load_patient(folder)


def edited(folder: Path, *changes: tuple[str, str]) -> PatientRecord:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "patient.yaml").write_text(text)
    return load_patient(folder)


def test_a_core_outside_of_the_oedema_widens_the_abnormal_region(folder):
    record = edited(folder, ("core: core.nii.gz", "core: shifted_core.nii.gz"))
    np.testing.assert_array_equal(record.scans[0].oedema, box(3, 7) | box(5, 8))
    assert "19 voxels of the enhancing core lie outside" in record.notes[0]


def test_a_lesion_partly_off_tissue_is_noted(folder):
    record = edited(folder, ("lesion: oedema", "lesion: whole"))
    assert "377 of 720 lesion voxels lie off tissue" in record.notes[0]


def test_values_outside_of_the_trusted_mask_do_not_count(folder):
    record = edited(
        folder,
        ("file: percent.nii.gz\n      unit: percent", "file: nan.nii.gz\n      mask: core.nii.gz\n      unit: fraction"),
    )
    scan = record.scans[2]
    assert np.isfinite(scan.cellularity).all()
    np.testing.assert_array_equal(scan.cellularity_mask, box(4, 6))


def test_days_instead_of_dates_are_kept(folder):
    text = re.sub(r"(start|date): 2024-(\d\d)-(\d\d)", lambda m: f"{m[1].replace('date', 'day')}: {m[2]}{m[3]}", GOOD)
    (folder / "patient.yaml").write_text(text.replace(" 0", " "))
    record = load_patient(folder)
    assert [scan.day for scan in record.scans] == [115, 304, 520]
    assert [f.day for f in record.radiotherapy.fractions][:6] == [205, 206, 207, 208, 209, 212]


def test_hours_become_parts_of_days(folder):
    record = edited(folder, ("{date: 2024-03-18,", "{date: 2024-03-18 12:00:00,"))
    assert record.radiotherapy.fractions[-1].day == 63.5


def test_every_day_course(folder):
    record = edited(folder, ("dose_per_fraction: 2 Gy", "dose_per_fraction: 2 Gy\n    weekdays: false"))
    assert [f.day for f in record.radiotherapy.fractions][:6] == [21, 22, 23, 24, 25, 26]


def test_brain_mask_anatomy(folder):
    record = edited(folder, ("white: white.nii.gz\n  grey: grey.nii.gz", "brain_mask: white.nii.gz"))
    np.testing.assert_array_equal(record.anatomy.white, box(1, 8))


def test_resampling_keeps_tissue_and_crops(folder):
    fine, coarse = load_patient(folder), load_patient(folder, spacing_mm=2.0)
    np.testing.assert_allclose(coarse.anatomy.spacing_mm, 2.0)
    volume = coarse.anatomy.white.sum() * coarse.anatomy.voxel_volume_mm3
    # The crop keeps all voxels that are half tissue and one more around them.
    assert volume == pytest.approx(fine.anatomy.white.sum() * fine.anatomy.voxel_volume_mm3, rel=1e-5)
    assert all(scan.oedema.shape == coarse.anatomy.shape for scan in coarse.scans)
    mass = coarse.scans[2].cellularity.sum() * coarse.anatomy.voxel_volume_mm3
    assert mass == pytest.approx(fine.scans[2].cellularity.sum() * fine.anatomy.voxel_volume_mm3, rel=1e-5)
    np.testing.assert_allclose(coarse.radiotherapy.dose_map[coarse.anatomy.mask], 1, rtol=1e-6)


def test_a_spacing_that_loses_the_lesion_is_refused(folder):
    with pytest.raises(InputError, match=r"too few to fill half a voxel.*finer spacing"):
        load_patient(folder, spacing_mm=9.0)


def atlas_folder(folder: Path, affine: np.ndarray, shape=(30, 30, 30)) -> Path:
    lesion = np.zeros(shape, np.uint8)
    lesion[12:18, 12:18, 12:18] = 1
    write(folder / "lesion.nii.gz", lesion, affine)
    text = "name: a\nanatomy:\n  atlas: mni152\nscans:\n  - day: 0\n    lesion: lesion.nii.gz\n"
    (folder / "patient.yaml").write_text(text)
    return folder


def test_the_atlas_is_sampled_onto_the_grid_of_the_scans(tmp_path):
    # Left to right reversed, 2 x 2 x 3 mm, around white matter at (25, 0, 40).
    affine = np.array([[-2.0, 0, 0, 54], [0, 2.0, 0, -29], [0, 0, 3.0, -5], [0, 0, 0, 1]])
    record = load_patient(atlas_folder(tmp_path, affine))
    assert record.anatomy.shape == (30, 30, 30)
    index = tuple(np.rint(record.anatomy.index_of_world((25, 0, 40))).astype(int))
    assert record.anatomy.white[index] > 0.9
    ventricle = tuple(np.rint(record.anatomy.index_of_world((5, -5, 20))).astype(int))
    assert not record.anatomy.mask[ventricle]
    np.testing.assert_allclose(load_patient(tmp_path, (4.0, 4.0, 3.0)).anatomy.spacing_mm, (4, 4, 3))


def test_scans_outside_of_the_atlas_or_turned_are_refused(tmp_path):
    away = np.diag([2.0, 2.0, 2.0, 1.0])
    away[0, 3] = 500
    with pytest.raises(InputError, match=r"line 3, field anatomy\.atlas; expected volumes registered to MNI152"):
        load_patient(atlas_folder(tmp_path, away))
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    with pytest.raises(InputError, match=r"rotated against each other at .*line 3, field anatomy\.atlas"):
        load_patient(atlas_folder(tmp_path, turned))


def virtual_record() -> PatientRecord:
    random = np.random.default_rng(0)
    anatomy = mni152(6.0)
    lesion = np.zeros(anatomy.shape, bool)
    lesion[15:18, 15:18, 12:15] = True
    core = lesion.copy()
    core[15] = False
    map_ = random.uniform(size=anatomy.shape).astype(np.float32)
    scans = (
        Scan(0.0, core, lesion),
        Scan(61.25, None, lesion, map_, 0.07, anatomy.mask),
        Scan(1 / 3 + 90, core, None, map_, 0.1),
    )
    fractions = tuple(RadiotherapyFraction(70 + day / 7, 2.0 + 0.1 * day) for day in range(3))
    dose = random.uniform(0.5, 1.1, anatomy.shape).astype(np.float32)
    return PatientRecord('virtual: "seed 0"', anatomy, scans, Radiotherapy(fractions, dose), Chemotherapy((70.0, 71.1), (75.0, 149.9)))


def test_round_trip(tmp_path):
    record = virtual_record()
    folder = save_patient(record, tmp_path / "deep" / "patient")
    again = load_patient(folder)
    assert again == record
    assert again.folder == folder
    assert again != replace(record, name="other")
    assert again != replace(record, scans=record.scans[:2])
    assert again.scans[1] != replace(record.scans[1], cellularity_noise=0.08)
    assert {path.name for path in folder.iterdir() if not path.name.endswith(".nii.gz")} == {"patient.yaml"}


def test_round_trip_of_a_loaded_folder(folder, tmp_path):
    record = load_patient(folder)
    assert load_patient(save_patient(record, tmp_path / "copy")) == record


def test_a_patient_is_not_overwritten_by_accident(tmp_path):
    record = virtual_record()
    save_patient(record, tmp_path)
    with pytest.raises(InputError, match=r"holds a patient\.yaml already"):
        save_patient(record, tmp_path)
    renamed = replace(record, name="new")
    assert load_patient(save_patient(renamed, tmp_path, overwrite=True)) == renamed


def test_a_failed_save_leaves_no_patient(tmp_path, monkeypatch):
    import errno

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    save_patient(virtual_record(), tmp_path)
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match="free some space"):
        save_patient(virtual_record(), tmp_path, overwrite=True)
    assert not (tmp_path / "patient.yaml").exists()


def small_anatomy() -> Anatomy:
    return Anatomy("small", *[np.ones((2, 2, 2), np.float32)] * 2, np.ones((2, 2, 2), bool), np.eye(4), np.ones((2, 2, 2)))


@pytest.mark.parametrize(
    ("scans", "part"),
    [
        ((), "one scan or more"),
        ((Scan(1.0), Scan(1.0)), "in order of time"),
        ((Scan(0.0, oedema=np.ones((2, 2, 3), bool)),), r"oedema of scan 0 with shape \(2, 2, 3\)"),
        ((Scan(0.0, np.ones((2, 2, 2), bool), np.zeros((2, 2, 2), bool)),), "core that sticks out"),
    ],
)
def test_records_made_by_hand_are_checked(scans, part):
    with pytest.raises(InputError, match=part):
        PatientRecord("x", small_anatomy(), scans)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [("2 Gy", "gray", 2.0), ("180 cGy", "gray", 1.8), ("1e3mGy", "gray", 1.0), ("0.15 g/m^2", "mg/m^2", 150.0)],
)
def test_quantities(text, unit, value):
    assert quantity(text, unit) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("text", ["2 Gy Gy Gy", "2 (", "2 Gy**", "1e999 Gy", "nan Gy", "2 __import__('os')", "2 Gy\n3"])
def test_odd_quantities_are_refused(text):
    with pytest.raises(InputError):
        quantity(text, "gray")


@pytest.mark.needs_data
@pytest.mark.slow
def test_the_real_lesion(dataset, monkeypatch):
    data = dataset("brain_tumour_mr").parents[1]
    monkeypatch.setenv("TWINSIM_DATA", str(data))
    folder = Path(__file__).resolve().parents[2] / "experiments" / "oncology" / "patients" / "brain_tumour_mr"
    record = load_patient(folder, spacing_mm=3.0)
    (scan,) = record.scans
    assert scan.enhancing_core is None
    volume = scan.oedema.sum() * record.anatomy.voxel_volume_mm3
    assert volume == pytest.approx(4137 * 0.78125**2 * 6.5, rel=0.05)
    assert not (scan.oedema & ~record.anatomy.mask).any()
    assert any("heuristic" in note for note in record.notes)


def test_data_that_the_user_fetched_need_no_variable(folder, tmp_path, monkeypatch):
    from twinsim.patient_file import read_patient_file

    monkeypatch.delenv("TWINSIM_DATA", raising=False)
    monkeypatch.setenv("TWINSIM_CACHE", str(tmp_path / "cache"))
    file = read_patient_file(folder)
    with pytest.raises(InputError, match="TWINSIM_DATA, which is not set"):
        file.resolve("${TWINSIM_DATA}/imaging/scan.nii.gz", "scans", 0, "lesion")
    (tmp_path / "cache" / "data").mkdir(parents=True)
    assert file.resolve("${TWINSIM_DATA}/scan.nii.gz", "scans", 0, "lesion") == tmp_path / "cache" / "data" / "scan.nii.gz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\n", "contains itself"),
        ("anatomy: " + "[" * 3000 + "\n", "nested too deeply|no YAML"),
    ],
    ids=["an anchor that names itself", "three thousand brackets"],
)
def test_yaml_without_an_end_is_one_line(tmp_path, text, message):
    (tmp_path / "patient.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_patient(tmp_path, 4.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "value"), [("count", 10**6), ("dose", "200 Gy")])
def test_numbers_beyond_reason_are_refused(kind, value):
    from twinsim import patient_schema

    with pytest.raises(InputError, match="at most"):
        patient_schema._count(value) if kind == "count" else patient_schema._dose(value, "gray", "fraction")
