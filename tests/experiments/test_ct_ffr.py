"""Fractional flow reserve at a toy size, from the built-in tree and from files."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.haemodynamics import ct_ffr
from twinsim.coronary_file import COLUMNS, HEALTHY_TREE, read_coronary
from twinsim.errors import InputError
from twinsim.workspace import Workspace

HEADER = ",".join(COLUMNS)
TOY = ct_ffr.Config(draws=300, steps=80)


def run(**options):
    return ct_ffr.run(replace(TOY, **options), Workspace(progress=False))


def written(tmp_path, text, name="tree.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_lesion_with_its_interval_and_slope():
    result = run()
    summary, key = result.summary, "fractional_flow_reserve_lad_proximal"
    assert 0.75 < summary[key] < 0.85
    assert summary[f"{key}_low"] < summary[key] < summary[f"{key}_high"] < 1
    assert 0.2 < summary[f"{key}_gradient_per_mm"] < 0.6
    assert 0.2 < summary[f"{key}_probability_at_or_below_threshold"] < 0.8
    assert summary["fractional_flow_reserve_right_proximal"] > 0.98
    # A slope of the dataset predicts a small change of the lesion.
    wider = run(lesion_diameter_mm=TOY.lesion_diameter_mm + 0.01).summary[key]
    assert abs((wider - summary[key]) / 0.01 / summary[f"{key}_gradient_per_mm"] - 1) < 0.02
    assert run().summary == summary


@pytest.mark.slow
def test_over_a_beat(tmp_path):
    path = written(tmp_path, f"{HEADER}\nleft,,30,3.9,3.5,1.6,12\nbranch,left,40,2.2,1.6,,\nend,left,60,3.0,2.1,,")
    summary = run(pulsatile=True, tree=path, mass_g=70.0).summary
    for name in ("left", "branch", "end"):
        key = f"fractional_flow_reserve_{name}"
        assert 0 < summary[key] - summary[f"{key}_pulsatile"] < 0.02


def test_a_file_of_the_built_in_tree_gives_the_same(tmp_path):
    lines = [
        ",".join(COLUMNS),
        *(",".join([*map(str, row), *(("1.6", "12.0") if row[0] == "lad_proximal" else ("", ""))]) for row in HEALTHY_TREE),
    ]
    path = written(tmp_path, "\n".join(lines))
    assert run(tree=path).summary == run().summary
    names = COLUMNS[:5]
    segments = "\n".join("- {" + ", ".join(f"{k}: {v or 'null'}" for k, v in zip(names, row, strict=True)) + "}" for row in HEALTHY_TREE)
    found = read_coronary(written(tmp_path, f"segments:\n{segments}\n", "tree.yaml"))
    assert not any(found.stenosed) and len(found.outlets) == 7
    np.testing.assert_allclose(found.length.sum(), sum(row[2] for row in HEALTHY_TREE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "name;parent;length_mm;proximal_diameter_mm;distal_diameter_mm;stenosis_diameter_mm;stenosis_length_mm\na;;20;3;2;;",
            "separate columns by commas",
        ),
        (
            "name,parent,length_mm,proximal_diameter_mm,distal_diameter_mm,stenosis_diameter_mm,stenosis_length_mm\na,,20,0.003,0.002,,",
            "proximal_diameter_mm 0.003 of a; expected 0.1 to 15 mm",
        ),
        ("name,parent,length_cm\na,,1", "column 'length_cm'; .*did you mean 'length_mm'"),
        (f"{HEADER}\na,,10,3,,,", "nothing as .*distal_diameter_mm of a"),
        (f"{HEADER}\na,,10,3,x,,", "'x' as .*distal_diameter_mm of a"),
        (f"{HEADER}\na,,10,3,nan,,", "'nan' as"),
        (f"{HEADER}\na,,10,-3,2,,", "proximal diameter -3 mm of 'a'; expected above 0"),
        (f"{HEADER}\na,,10,3,2,,\nb,c,10,3,2,,", "parent 'c' of 'b'"),
        (f"{HEADER}\na,b,10,3,2,,\nb,a,10,3,2,,", "loop of parents"),
        (f"{HEADER}\na,,10,3,2,,\na,,10,3,2,,", "two segments 'a'"),
        (f"{HEADER}\na,,10,3,2,0,5", "stenosis diameter 0 mm"),
        (HEADER, "no segments"),
    ],
)
def test_bad_files(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        run(tree=written(tmp_path, text))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lesion": "lad_proximl"}, "did you mean 'lad_proximal'"),
        ({"lesion_diameter_mm": 4.0}, "expected less"),
        ({"venous_mmhg": 25.0, "aortic_mmhg": 30.0}, "above --venous-mmhg 25 by 5"),
        ({"draws": 1}, "choose at least 20"),
    ],
)
def test_refuses(options, words):
    with pytest.raises(InputError, match=words):
        run(**options)
