"""Unknown laws from noisy, irregular courses: sparse terms, and networks in the place of what is not known."""

from twinsim.discovery.in_solver import predicted as predicted
from twinsim.discovery.solver_refinement import Refinement as Refinement
from twinsim.discovery.solver_refinement import refine as refine
from twinsim.discovery.sparse_regression import Identification as Identification
from twinsim.discovery.sparse_regression import SparseRegression as SparseRegression
from twinsim.discovery.sparse_regression import identify as identify
from twinsim.discovery.sparse_regression import identify_with_saturation as identify_with_saturation
from twinsim.discovery.term_library import TermLibrary as TermLibrary
from twinsim.discovery.thresholded_ridge import SparseFit as SparseFit
from twinsim.discovery.thresholded_ridge import choose_threshold as choose_threshold
from twinsim.discovery.thresholded_ridge import ridge as ridge
from twinsim.discovery.thresholded_ridge import thresholded_ridge as thresholded_ridge
from twinsim.discovery.universal import UniversalFit as UniversalFit
from twinsim.discovery.universal import UniversalLaw as UniversalLaw
from twinsim.discovery.universal import fit_universal as fit_universal
from twinsim.discovery.weak_form import Course as Course
from twinsim.discovery.weak_form import WeakRows as WeakRows
from twinsim.discovery.weak_form import difference_rows as difference_rows
from twinsim.discovery.weak_form import weak_rows as weak_rows
