"""Calibration: what was measured, how it scatters, and estimators that all return the same posterior, `Draws`."""

from twinsim.inference.diagnostics import Diagnostics as Diagnostics
from twinsim.inference.diagnostics import Outcome as Outcome
from twinsim.inference.diagnostics import diagnose as diagnose
from twinsim.inference.draws import Draws as Draws
from twinsim.inference.draws import collected as collected
from twinsim.inference.draws import normal_draws as normal_draws
from twinsim.inference.likelihood import CensoredBelow as CensoredBelow
from twinsim.inference.likelihood import Likelihood as Likelihood
from twinsim.inference.likelihood import LogNormal as LogNormal
from twinsim.inference.likelihood import NegativeBinomial as NegativeBinomial
from twinsim.inference.likelihood import Normal as Normal
from twinsim.inference.likelihood import Poisson as Poisson
from twinsim.inference.likelihood import ProportionalAdditive as ProportionalAdditive
from twinsim.inference.likelihood import StudentT as StudentT
from twinsim.inference.problem import Problem as Problem
from twinsim.inference.problem import problems as problems
from twinsim.inference.series import Series as Series
from twinsim.inference.series import series as series
from twinsim.inference.series import stacked as stacked
