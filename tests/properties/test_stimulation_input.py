"""What is refused before anything is solved: leads, conductors, tensors, voltages."""

import numpy as np
import pytest

from physics import (
    STIMULATION_LEADS,
    Conductor,
    Contact,
    Lead,
    LeadShape,
    charge_density,
    conductivity_from_diffusion,
    largest_current,
    lead_through,
    shannon_k,
    voxel_electrode,
)
from tests.electrodes import lead_conductor, solved

LEAD = STIMULATION_LEADS["medtronic_3389"]
FRAME = lead_conductor()
SHAPE = FRAME.voxels.grid.shape


def tensor(lowest):
    return np.broadcast_to(np.diag([0.3, 0.2, lowest]), (*SHAPE, 3, 3))


CALLS = {
    "a direction of length zero": lambda: Lead(LEAD, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    "a position that is none": lambda: Lead(LEAD, (np.nan, 0.0, 0.0), (0.0, 0.0, 1.0)),
    "a contact that there is not": lambda: lead_through(LEAD, (0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 4),
    "contacts on top of each other": lambda: Lead(
        LeadShape(0.6, (Contact(1.0, 2.0, 0.0, 120.0), Contact(1.5, 3.0, 90.0, 120.0)), ("0", "1"), ""), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)
    ),
    "a contact outside": lambda: voxel_electrode(
        np.ones((12, 12, 12), bool), 0.5, (0.0, 0.0, 0.0), Lead(LEAD, (3.0, 3.0, 20.0), (0.0, 0.0, 1.0))
    ),
    "a layer below zero": lambda: voxel_electrode(
        np.ones((4, 4, 4), bool), 0.5, (0.0, 0.0, 0.0), Lead(LEAD, (0.0,) * 3, (0.0, 0.0, 1.0)), -1.0
    ),
    "conductivity in mS/m": lambda: Conductor(FRAME.voxels, np.full(SHAPE, 200.0)),
    "conductivity in S/mm": lambda: Conductor(FRAME.voxels, np.full(SHAPE, 5e-5)),
    "a layer's conductivity in mS/m": lambda: Conductor(FRAME.voxels, np.full(SHAPE, 0.2), 100.0),
    "NaN": lambda: Conductor(FRAME.voxels, np.full(SHAPE, np.nan)),
    "another shape": lambda: Conductor(FRAME.voxels, np.full((3, 3, 3), 0.2)),
    "a tensor that is not positive definite": lambda: Conductor(FRAME.voxels, tensor(-0.1)),
    "a tensor that is not symmetric": lambda: Conductor(FRAME.voxels, tensor(0.2) + np.eye(3)[[1, 2, 0]] * 0.05),
    "an impedance below zero": lambda: Conductor(FRAME.voxels, np.full(SHAPE, 0.2), 0.1, -1.0),
    "diffusion that is not positive definite": lambda: conductivity_from_diffusion(np.diag([1e-3, 1e-3, 0.0])),
    "diffusion in um^2/ms": lambda: conductivity_from_diffusion(np.diag([1.5, 0.5, 0.4])),
    "no voltage at all": lambda: solved(FRAME).controlled(np.array([np.nan, np.nan])),
}


@pytest.mark.parametrize("name", CALLS)
def test_bad_input_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"^got .*; expected .*; do: ") as caught:
        CALLS[name]()
    assert "\n" not in str(caught.value)


def test_limits_of_charge():
    area = np.pi * 1.27 * 1.5  # a contact of the Medtronic 3389: 5.98 mm²
    assert float(charge_density(1.0, area, 60.0)) == pytest.approx(1e-3 * 60 / (area / 100))  # uC/cm²
    largest = float(largest_current(np.array([area]), 60.0)[0])
    assert max(float(charge_density(largest, area, 60.0)) / 30, 10 ** (float(shannon_k(largest, area, 60.0)) - 1.5)) == pytest.approx(1)
    assert float(largest_current(np.array([area]), 60.0, k=9.0)[0]) == pytest.approx(30 * area / 100 / 0.06)


def test_areas_of_contacts_add_up_on_voxels():
    voxels = FRAME.voxels
    faces = voxels.share * voxels.cosine * voxels.grid.voxel_volume / np.asarray(voxels.grid.spacing)[voxels.axis]
    np.testing.assert_allclose(np.bincount(voxels.contact, faces), voxels.areas, rtol=1e-12)
    segments = Lead(STIMULATION_LEADS["segmented_1331"], (0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    assert segments.areas()[1] == pytest.approx(segments.areas()[0] / 4)
    turn = np.radians([90.0, 210.0, 330.0])  # the marker points to the second axis; turns are counted about the axis of the lead
    points = np.stack([0.65 * np.cos(turn), 0.65 * np.sin(turn), np.full(3, 4.0)], axis=-1)
    assert segments.contact_at(points).tolist() == [1, 2, 3]
