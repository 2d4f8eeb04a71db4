"""openBF files: what is read, and what is refused in one line."""

import numpy as np
import pytest
import yaml

from physics import wall_stiffness, wall_thickness
from twinsim.errors import InputError
from twinsim.openbf_file import read_openbf

VESSEL = {"sn": 1, "tn": 2, "L": 0.1, "E": "700.0e3", "R0": 3e-3, "h0": 3e-4}
WINDKESSEL = {"R1": 2.5e8, "R2": 1.9e9, "Cc": 1.8e-10}


def written(folder, network=None, table=None, **changes):
    """A file of one vessel, with changes; sections by name, ``None`` takes a key away."""
    content = {
        "project_name": "toy",
        "blood": {"rho": 1060.0, "mu": 4e-3},
        "solver": {"Ccfl": 0.9, "cycles": 3, "jump": 20, "convergence_tolerance": 1.0},
        "network": [{"label": "a", **VESSEL, **WINDKESSEL}] if network is None else network,
    }
    content |= changes
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    if table is None:
        table = "\n".join(f"{t} {1e-6 * np.sin(np.pi * t) ** 2}" for t in np.linspace(0, 1, 21))
    if table:
        (folder / "toy_inlet.dat").write_text(table, encoding="utf-8")
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        read_openbf(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_numbers_defaults_and_cells(tmp_path):
    network = [
        {"label": "a", **VESSEL, "M": 150},
        {"label": "b", **VESSEL, "sn": 2, "tn": 3, "L": 2e-3, **WINDKESSEL},
        {"label": "c", "sn": 2, "tn": 4, "L": 0.05, "E": 4e5, "Rp": 2e-3, "Rd": 1e-3, "Rt": 0.5, "Pext": 1e4, "gamma profile": 9},
    ]
    file = read_openbf(written(tmp_path, network))
    read = file.network
    assert read.labels == ("a", "b", "c")
    assert read.cells == (150, 5, 50)
    assert read.outlet == ("", "windkessel", "reflection")
    assert float(read.youngs_modulus[0]) == 7e5
    assert float(read.profile[2]) == 9
    assert read.thickness_given == (True, True, False)
    assert float(read.radius_end[2]) == pytest.approx(2e-3, rel=1e-3)
    assert any("taper" in note for note in file.notes)
    assert file.samples == 20
    assert file.cycles == 3
    textbook = read_openbf(tmp_path / "toy.yaml", "textbook").network
    assert float(textbook.radius_end[2]) == 1e-3
    assert textbook.continuous == "total"
    np.testing.assert_allclose(textbook.correction, [4 / 3, 4 / 3, 11 / 10])
    assert read_openbf(tmp_path / "toy.yaml", cell_mm=2.0).network.cells == (50, 3, 25)


def test_viscous_walls_where_the_file_or_the_caller_says(tmp_path):
    path = written(tmp_path, [{"label": "a", **VESSEL}, {"label": "b", **VESSEL, "sn": 2, "tn": 3, **WINDKESSEL, "visco-elastic": True}])
    gamma = 0.6 + 0.0015 / 6e-3
    np.testing.assert_allclose(read_openbf(path).network.wall_viscosity, [0, gamma])
    np.testing.assert_allclose(read_openbf(path, walls="viscoelastic").network.wall_viscosity, [gamma, gamma])
    assert read_openbf(path, walls="elastic").network.wall_viscosity is None


def test_two_elements_are_three_with_the_vessels_impedance(tmp_path):
    network = read_openbf(written(tmp_path, [{"label": "a", **VESSEL, "R1": 2e9, "Cc": 1e-10}])).network
    stiffness = float(wall_stiffness(7e5, 3e-4, 3e-3))
    impedance = np.sqrt(1060 * stiffness / 2) / (np.pi * 9e-6)
    assert float(network.proximal[0]) == pytest.approx(impedance)
    assert float(network.proximal[0] + network.distal[0]) == pytest.approx(2e9)
    assert float(wall_thickness(3e-3)) == pytest.approx(3e-3 * (0.2802 * np.exp(-1.5159) + 0.1324 * np.exp(-0.03342)))


def test_windkessels_that_hold_no_arterial_pressure_are_pointed_out(tmp_path):
    """Resistances in mmHg s/mL read as Pa s/m³; at 5e-7 m³/s in the mean, 2.15e9 Pa s/m³ hold 8 mmHg, 1e10 hold 38."""
    given = {"R1": 0.1, "R2": 1.1, "Cc": 1.8e-10}
    notes = read_openbf(written(tmp_path, [{"label": "a", **VESSEL, **given}])).notes
    assert any("check that R1 and R2 are in Pa s/m³" in note for note in notes)
    fine = read_openbf(written(tmp_path, [{"label": "a", **VESSEL, **WINDKESSEL, "R2": 1e10}])).notes
    assert not any("windkessels" in note for note in fine)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ([{"label": "a", **VESSEL, **WINDKESSEL}, {"label": "b", **VESSEL, "sn": 5, "tn": 6, **WINDKESSEL}], ("not connected to a", "b")),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "R0": -3e-3}], ("vessel a", "R0 -0.003", "above 0")),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "gama_profile": 2}], ("gama_profile", "did you mean 'gamma_profile'")),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "E": "stiff"}], ("E stiff", "number")),
        ([{"label": "a", **VESSEL}], ("vessel a ends without a condition",)),
        ([{"label": "a", **VESSEL, "R1": 1e8}], ("windkessel without Cc",)),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "tn": 1}], ("to itself",)),
        ([{"label": "a", **VESSEL, **WINDKESSEL}, {"label": "a", **VESSEL, **WINDKESSEL}], ("vessel a twice",)),
        ([{"label": "a", **VESSEL}, {"label": "b", **VESSEL, "sn": 3, **WINDKESSEL}], ("nodes 1, 3", "one inlet")),
        ([{"label": "a", **VESSEL, "R1": 1e7, "Cc": 1e-10}], ("impedance",)),
        ([{"label": "a", "sn": 1, "tn": 2, "L": 0.1, "E": 7e5}], ("without a radius",)),
        ([{"label": "a", **VESSEL, "Rt": 1.5}], ("Rt 1.5", "-1 to 1")),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "visco-elastic": "some"}], ("visco-elastic some", "true or false")),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "R0": 3.0}], ("radius 3 m",)),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "L": 126.0}], ("length 126 m", "lengths in m")),
        ([{"label": "a", **VESSEL, **WINDKESSEL, "E": 700.0}], ("E 700 Pa", "0.21 m/s", "give E in Pa")),
    ],
)
def test_bad_networks(tmp_path, network, words):
    text = refusal(written(tmp_path, network))
    assert all(word in text for word in words), text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"solver": {"Ccfl": 1.5, "cycles": 3, "jump": 20, "convergence_tolerance": 1.0}}, ("Ccfl 1.5", "CFL limit")),
        ({"solver": {"Ccfl": 0.9, "cycles": 0.5, "jump": 20, "convergence_tolerance": 1.0}}, ("cycles 0.5", "whole number")),
        ({"solver": {"Ccfl": 0.9, "cycles": 3, "jumps": 20, "convergence_tolerance": 1.0}}, ("did you mean 'jump'",)),
        ({"blood": {"rho": -1.0, "mu": 4e-3}}, ("rho -1",)),
        ({"bloood": {}}, ("did you mean 'blood'",)),
        ({"network": []}, ("without vessels",)),
        ({"inlet_file": "missing.dat"}, ("inlet without data", "missing.dat")),
        ({"table": "0 0\n0.5 1e-6\n1 5e-7"}, ("not periodic", "0 m³/s at the start")),
        ({"table": "0 0\n0.5 0\n1 0"}, ("inlet without data",)),
        ({"table": "0.1 0\n0.5 1e-6\n1 0"}, ("times from 0.1",)),
        ({"table": "0 0\nx 1\n1 0"}, ("no table of numbers",)),
        ({"table": "0 0\n0.5 4.5\n1 0"}, ("a flow of 4.5 m³/s", "not mL/s")),
        ({"blood": {"rho": 1.06, "mu": 4e-3}}, ("rho 1.06 kg/m³", "500 to 2000")),
        ({"blood": {"rho": 1060.0, "mu": 4.0}}, ("mu 4 Pa s", "give it in Pa s")),
    ],
)
def test_bad_sections_and_inlets(tmp_path, changes, words):
    text = refusal(written(tmp_path, **changes))
    assert all(word in text for word in words), text


def test_missing_files_and_what_is_no_yaml(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1, 2", encoding="utf-8")
    assert "not YAML" in refusal(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1", encoding="utf-8")
    assert "expected" in refusal(tmp_path / "list.yaml")
    path = written(tmp_path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    del content["blood"]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert "without blood" in refusal(path)


def test_rows_out_of_order_are_sorted_and_noted(tmp_path):
    file = read_openbf(written(tmp_path, table="0 0\n0.6 1e-6\n0.3 5e-7\n1 0"))
    np.testing.assert_allclose(file.network.inlet_times, [0, 0.3, 0.6, 1])
    assert any("sorted" in note for note in file.notes)
