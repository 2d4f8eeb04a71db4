"""Physics-informed networks: equations made to hold by least squares, for inverse problems and fields from sparse data."""

from twinsim.informed.fit import Fit, InformedProblem, Stage, fit
from twinsim.informed.jet import Jet, coordinate, exponential, reciprocal, sine, tangent_hyperbolic
from twinsim.informed.levenberg_marquardt import Descent, levenberg_marquardt
from twinsim.informed.network import SmoothPerceptron
from twinsim.informed.quasi_newton import quasi_newton
from twinsim.informed.rows import Rows, normal_equations, split, sum_of_squares
from twinsim.informed.sampling import Sampling, causal_weights, renewed

__all__ = [
    "Descent",
    "Fit",
    "InformedProblem",
    "Jet",
    "Rows",
    "Sampling",
    "SmoothPerceptron",
    "Stage",
    "causal_weights",
    "coordinate",
    "exponential",
    "fit",
    "levenberg_marquardt",
    "normal_equations",
    "quasi_newton",
    "reciprocal",
    "renewed",
    "sine",
    "split",
    "sum_of_squares",
    "tangent_hyperbolic",
]
