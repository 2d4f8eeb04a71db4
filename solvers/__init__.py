"""Numerics only: grids, operators, steppers and the one time loop. No organ, cell, drug or patient is named here."""

from solvers.diffusion import Diffusion as Diffusion
from solvers.exact_flow import ExactFlow as ExactFlow
from solvers.exact_flow import Flow as Flow
from solvers.exchange import exchange as exchange
from solvers.grid import VoxelGrid as VoxelGrid
from solvers.operator import Operator as Operator
from solvers.runge_kutta_chebyshev import RungeKuttaChebyshev2 as RungeKuttaChebyshev2
from solvers.runge_kutta_chebyshev import stability_limit as stability_limit
from solvers.runge_kutta_chebyshev import stages_for as stages_for
from solvers.simulate import Jump as Jump
from solvers.simulate import Solution as Solution
from solvers.simulate import simulate as simulate
from solvers.status import SimulationError as SimulationError
from solvers.status import Status as Status
from solvers.stepper import Stepper as Stepper
from solvers.strang import Strang as Strang
from solvers.tensor_diffusion import TensorDiffusion as TensorDiffusion
from solvers.time_mesh import TimeMesh as TimeMesh
from solvers.time_mesh import time_mesh as time_mesh
