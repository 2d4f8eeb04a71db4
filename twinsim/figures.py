"""Figures of a report: slices, forecasts with bands, treatments compared, parameters with intervals."""

from twinsim.figure_curves import Arm, Measurements, arms_curve, forecast_curve
from twinsim.figure_parameters import ParameterInterval, marginal_densities, parameter_forest
from twinsim.figure_slices import Overlay, orthogonal_slices

__all__ = [
    "Arm",
    "Measurements",
    "Overlay",
    "ParameterInterval",
    "arms_curve",
    "forecast_curve",
    "marginal_densities",
    "orthogonal_slices",
    "parameter_forest",
]
