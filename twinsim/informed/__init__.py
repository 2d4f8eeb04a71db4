"""Physics-informed networks: equations made to hold by least squares, for inverse problems and fields from sparse data."""

from twinsim.informed.equation_rows import FieldRows, implicit_residual, rate_of
from twinsim.informed.fit import Fit, InformedProblem, Stage, fit
from twinsim.informed.jet import Jet, coordinate, cosine, exponential, logarithm, reciprocal, sine, stacked, tangent_hyperbolic
from twinsim.informed.levenberg_marquardt import Descent, levenberg_marquardt
from twinsim.informed.network import SmoothPerceptron
from twinsim.informed.quasi_newton import quasi_newton
from twinsim.informed.rows import DenseRows, RowBlock, Rows, normal_equations, split, sum_of_squares
from twinsim.informed.sampling import Sampling, causal_weights, renewed, stratified
from twinsim.informed.separable import SeparableNetwork, grid_axes
from twinsim.informed.tensor_rows import TensorRows

__all__ = [
    "DenseRows",
    "Descent",
    "FieldRows",
    "Fit",
    "InformedProblem",
    "Jet",
    "RowBlock",
    "Rows",
    "Sampling",
    "SeparableNetwork",
    "SmoothPerceptron",
    "Stage",
    "TensorRows",
    "causal_weights",
    "coordinate",
    "cosine",
    "exponential",
    "fit",
    "grid_axes",
    "implicit_residual",
    "levenberg_marquardt",
    "logarithm",
    "normal_equations",
    "quasi_newton",
    "rate_of",
    "reciprocal",
    "renewed",
    "sine",
    "split",
    "stacked",
    "stratified",
    "sum_of_squares",
    "tangent_hyperbolic",
]
