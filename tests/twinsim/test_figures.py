"""Figures show the numbers that they were given, in the right place."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from twinsim.errors import InputError
from twinsim.figures import (
    Arm,
    Measurements,
    Overlay,
    ParameterInterval,
    arms_curve,
    forecast_curve,
    marginal_densities,
    orthogonal_slices,
    parameter_forest,
)

DAYS = np.linspace(0, 100, 51)
MEDIAN = 1000 + 20 * DAYS
BANDS = {0.5: (0.9 * MEDIAN, 1.1 * MEDIAN), 0.9: (0.7 * MEDIAN, 1.4 * MEDIAN)}


def draw(figure: Figure) -> Figure:
    """Lay out and render, which is when Matplotlib warns (warnings are errors here)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    assert buffer.getvalue().startswith(b"\x89PNG")
    return figure


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def ball(shape: tuple[int, int, int] = (20, 24, 16)) -> tuple[np.ndarray, np.ndarray]:
    """A brain-like ball, and a blob whose largest value is at (5, 14, 9)."""
    places = np.indices(shape)
    centre = (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2
    head = (((places - centre) / (0.45 * np.array(shape).reshape(3, 1, 1, 1))) ** 2).sum(0) < 1
    blob = np.exp(-((places - np.array([5, 14, 9]).reshape(3, 1, 1, 1)) ** 2).sum(0) / 8.0)
    return head * (1.0 + 0.1 * np.sin(places[0])), blob


def test_slices_go_through_the_maximum() -> None:
    head, blob = ball()
    overlays = [
        Overlay(head > 0, "brain", kind="mask"),
        Overlay(blob, "cell density", "1/mm³", floor=0.1),
        Overlay(blob, "edge", kind="contour", levels=(0.6, 0.2)),
    ]
    figure = draw(orthogonal_slices(head, (1.0, 2.0, 3.0), overlays, crosshair=True, title="Density"))
    axial, coronal, sagittal, bar = figure.axes
    assert [axes.get_title("left") for axes in (axial, coronal, sagittal)] == [
        "axial, z = 27 mm",
        "coronal, y = 28 mm",
        "sagittal, x = 5 mm",
    ]
    assert [axial.get_xlabel(), axial.get_ylabel(), sagittal.get_xlabel()] == ["x (mm)", "y (mm)", "y (mm)"]
    assert all(axes.get_aspect() == 1.0 for axes in (axial, coronal, sagittal))
    assert bar.get_ylabel() == "cell density (1/mm³)"
    assert labels(figure) == ["brain", "edge 0.2", "edge 0.6"]
    background, heat = axial.images
    np.testing.assert_allclose(background.get_extent(), (-0.5, 19.5, -1.0, 47.0))
    np.testing.assert_allclose(background.get_array(), head[:, :, 9].T.astype(np.float32))
    shown = heat.get_array()
    assert shown.shape == (24, 20) and shown[14, 5] == pytest.approx(1.0)
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), blob[:, :, 9].T.astype(np.float32) < 0.1)
    np.testing.assert_allclose(heat.get_clim(), (0.1, 1.0))
    np.testing.assert_array_equal(coronal.images[1].get_array().data, blob[:, 14, :].T.astype(np.float32))
    np.testing.assert_array_equal(sagittal.images[1].get_array().data, blob[5].T.astype(np.float32))


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_slices_are_in_world_coordinates_whatever_the_array_order(order: tuple, flips: tuple) -> None:
    head, blob = ball()
    spacing = np.array([1.0, 2.0, 3.0])
    plain = np.diag([*spacing, 1.0])
    plain[:3, 3] = (-7.0, 4.0, 11.0)
    reference = draw(orthogonal_slices(head, spacing, [Overlay(blob, "a")], affine=plain))
    # The same volume stored with its axes permuted and some of them reversed.
    matrix, place = np.zeros((4, 4)), plain[:3, 3].copy()
    for axis, (world, sign) in enumerate(zip(order, flips, strict=True)):
        matrix[world, axis] = sign * spacing[world]
        place[world] += spacing[world] * (head.shape[world] - 1) if sign < 0 else 0.0
    matrix[:3, 3], matrix[3, 3] = place, 1.0

    def stored(array: np.ndarray) -> np.ndarray:
        return array.transpose(order)[tuple(slice(None, None, sign) for sign in flips)]

    turned = orthogonal_slices(stored(head), spacing[list(order)], [Overlay(stored(blob), "a")], affine=matrix)
    for one, other in zip(reference.axes[:3], turned.axes[:3], strict=True):
        assert one.get_title("left") == other.get_title("left")
        for picture, twin in zip(one.images, other.images, strict=True):
            np.testing.assert_allclose(picture.get_extent(), twin.get_extent())
            np.testing.assert_array_equal(picture.get_array(), twin.get_array())
    assert reference.axes[0].get_title("left") == "axial, z = 38 mm"
    assert [text.get_text() for text in reference.axes[0].texts] == ["L", "R", "P", "A"]
    assert [text.get_text() for text in reference.axes[2].texts] == ["P", "A", "I", "S"]


def test_slices_without_affine_claim_no_side() -> None:
    head, _ = ball()
    figure = draw(orthogonal_slices(head, (1, 1, 1), index=(3, 4, 5)))
    assert not figure.axes[0].texts
    assert figure.axes[2].get_title("left") == "sagittal, x = 3 mm"
    assert len(figure.axes) == 3 and not figure.legends


def test_slices_show_the_middle_of_a_mask() -> None:
    mask = np.zeros((20, 24, 16), dtype=bool)
    mask[4:9, 10:15, 2:7] = True
    figure = draw(orthogonal_slices(ball()[0], (1, 1, 1), [Overlay(mask, "lesion", kind="mask")]))
    assert [axes.get_title("left")[-5:] for axes in figure.axes] == [" 4 mm", "12 mm", " 6 mm"]


def test_slices_stay_quiet_on_hard_cases() -> None:
    head, blob = ball()
    holes = np.where(blob > 0.5, np.nan, blob)
    empty = np.zeros_like(blob)
    contour = Overlay(empty, "none", kind="contour", levels=(0.5,))
    draw(orthogonal_slices(np.where(head > 0, head, np.nan), (1, 1, 1), [Overlay(holes, "a"), contour]))
    draw(orthogonal_slices(empty, (1, 1, 1), [Overlay(empty, "a"), Overlay(empty > 1, "b", kind="mask")]))
    draw(orthogonal_slices(np.full_like(blob, np.nan), (1, 1, 1), [Overlay(np.full_like(blob, np.nan), "a")]))
    draw(orthogonal_slices(head[:, :, 7:8], (1, 1, 1), [Overlay(blob[:, :, 7:8], "b", kind="contour", levels=(0.2,))]))
    oblique = np.eye(4)
    oblique[:2, :2] = [[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]]
    draw(orthogonal_slices(head, (1, 1, 1), [Overlay(blob, "a")], affine=oblique))


def test_slices_refuse() -> None:
    head, blob = ball()
    for arguments, words in (
        ((head[0], (1, 1, 1)), "one volume"),
        ((head, (1, 0, 1)), "voxel size"),
        ((head, (1, 1, 1), [Overlay(blob[1:], "a")]), "'a'"),
        ((head, (1, 1, 1), [Overlay(blob, "a"), Overlay(blob, "b")]), "two heat"),
        ((head, (1, 1, 1), [Overlay(blob, "a", kind="contours")]), "did you mean 'contour'"),
    ):
        with pytest.raises(InputError, match=words):
            orthogonal_slices(*arguments)
    with pytest.raises(InputError, match="inside"):
        orthogonal_slices(head, (1, 1, 1), index=(0, 0, 99))
    with pytest.raises(InputError, match="column norms"):
        orthogonal_slices(head, (1, 1, 1), affine=np.diag([2.0, 1, 1, 1]))


@pytest.mark.parametrize("logarithmic", [False, True])
def test_forecast_shows_everything(logarithmic: bool) -> None:
    figure = draw(
        forecast_curve(
            DAYS, MEDIAN, BANDS, truth=1.05 * MEDIAN,
            observations=Measurements([0, 30], [1000, 1600], [100, 150]),
            treatments={"radiotherapy": [40, 41, 42, 45], "chemotherapy": [60]}, forecast_from=30,
            logarithmic=logarithmic, title="Forecast",
        )
    )  # fmt: skip
    (axes,) = figure.axes
    # Column by column, so that the rows read median, scans, truth, 50 % and 90 %, treatments.
    assert labels(figure) == [
        "median", "90 % interval", "scans", "radiotherapy", "truth", "chemotherapy", "50 % interval",
    ]  # fmt: skip
    assert axes.get_xlabel() == "time (day)" and axes.get_ylabel() == "tumour volume (mm³)"
    curves = [line for line in axes.lines if len(line.get_xdata()) == len(DAYS)]
    np.testing.assert_array_equal(curves[0].get_ydata(), MEDIAN)
    np.testing.assert_array_equal(curves[1].get_ydata(), 1.05 * MEDIAN)
    assert curves[0].get_linestyle() == "-" and curves[1].get_linestyle() == "--"
    wide, narrow = (band.get_paths()[0].vertices[:, 1] for band in axes.collections[:2])
    assert wide.max() == pytest.approx((1.4 * MEDIAN).max()) and narrow.max() == pytest.approx((1.1 * MEDIAN).max())
    # Consecutive days are one shaded span: 40 to 43, 45 to 46, 60 to 61; each with a strip at the foot.
    spans = sorted({(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches})
    assert spans == [(40, 43), (45, 46), (60, 61)]
    assert (axes.get_yscale() == "log") == logarithmic
    if not logarithmic:
        assert axes.get_ylim()[0] == 0


def test_forecast_alone_and_refusals() -> None:
    assert labels(draw(forecast_curve(DAYS, MEDIAN, unit="1", quantity="share"))) == ["median"]
    with pytest.raises(InputError, match="median"):
        forecast_curve(DAYS, MEDIAN[1:])
    with pytest.raises(InputError, match="90 % band"):
        forecast_curve(DAYS, MEDIAN, {0.9: (MEDIAN[1:], MEDIAN)})
    with pytest.raises(InputError, match=r"write 90 % as 0\.9"):
        forecast_curve(DAYS, MEDIAN, {90: (MEDIAN, MEDIAN)})


def test_arms() -> None:
    arms = {
        "no treatment": Arm(2 * MEDIAN, BANDS),
        "60 Gy in 30": Arm(MEDIAN, {0.9: BANDS[0.9]}),
        "bare": Arm(MEDIAN),
    }
    figure = draw(arms_curve(DAYS, arms, forecast_from=20))
    assert labels(figure) == ["no treatment", "60 Gy in 30", "bare", "90 % interval"]
    (axes,) = figure.axes
    assert len(axes.collections) == 2  # only the widest band of each arm
    colours = [line.get_color() for line in axes.lines[:3]]
    assert len(set(colours)) == 3
    with pytest.raises(InputError, match="1 to 6"):
        arms_curve(DAYS, {})
    with pytest.raises(InputError, match="a with shape"):
        arms_curve(DAYS, {"a": Arm(MEDIAN[1:])})


def test_forest_is_normalised_by_the_prior() -> None:
    figure = draw(
        parameter_forest(
            [
                ParameterInterval("shift", "mm", (-10, 0, 10), (2, 5, 8), truth=4),
                ParameterInterval("rate", "1/day", (0.01, 0.1, 1.0), (0.1, 0.1, 1.0), logarithmic=True, identifiable=False),
            ]
        )
    )
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["shift", "rate"]
    drawn = [tuple(np.round(line.get_xdata(), 12)) for line in axes.lines]
    assert (-1.0, 1.0) in drawn  # prior
    assert (0.2, 0.8) in drawn and (0.5,) in drawn  # posterior of the first
    assert (0.4, 0.4) in drawn  # truth
    assert (0.0, 1.0) in drawn  # posterior of the second, on the logarithmic scale
    assert [text.get_text() for text in axes.texts] == ["5 [2, 8] mm", "0.1 [0.1, 1] 1/day"]
    assert "not identifiable from these data" in labels(figure) and "truth" in labels(figure)
    with pytest.raises(InputError, match="no parameter"):
        parameter_forest([])
    for prior in ((1, 1, 1), (3, 2, 1)):
        with pytest.raises(InputError, match="'a'"):
            parameter_forest([ParameterInterval("a", "1", prior, (1, 2, 3))])
    with pytest.raises(InputError, match="positive"):
        parameter_forest([ParameterInterval("a", "1", (-1, 2, 3), (1, 2, 3), logarithmic=True)])


def test_marginals() -> None:
    generator = np.random.default_rng(0)
    prior = {"rate": generator.lognormal(0, 1, 400), "shift": generator.normal(0, 5, 400)}
    posterior = {"rate": generator.lognormal(1, 0.1, 400), "shift": generator.normal(3, 1, 400)}
    figure = draw(marginal_densities(prior, posterior, units={"rate": "1/day"}, truth={"shift": 3.1}, logarithmic=["rate"]))
    rate, shift = figure.axes
    assert rate.get_xscale() == "log" and shift.get_xscale() == "linear"
    assert rate.get_xlabel() == "rate (1/day)" and shift.get_xlabel() == "shift"
    peak = shift.lines[0].get_xdata()[np.argmax(shift.lines[0].get_ydata())]
    assert peak == pytest.approx(3, abs=0.5)
    assert rate.lines[0].get_xdata()[np.argmax(rate.lines[0].get_ydata())] == pytest.approx(np.e, rel=0.1)
    assert labels(figure) == ["prior", "posterior", "truth"]
    draw(marginal_densities({}, {str(number): posterior["shift"] for number in range(5)}))
    with pytest.raises(InputError, match="not finite"):
        marginal_densities({}, {"a": [1.0, np.nan]})
    with pytest.raises(InputError, match="positive"):
        marginal_densities({}, {"a": [1.0, -1.0]}, logarithmic=["a"])
    with pytest.raises(InputError, match="no parameter"):
        marginal_densities({}, {})
