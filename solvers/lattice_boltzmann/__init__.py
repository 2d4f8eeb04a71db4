"""Lattice Boltzmann flow on voxels, in lattice units: voxel, time step and density are one."""

from solvers.lattice_boltzmann.bgk import BGK as BGK
from solvers.lattice_boltzmann.collision import Collision as Collision
from solvers.lattice_boltzmann.cumulant import Cumulant as Cumulant
from solvers.lattice_boltzmann.domain import LatticeDomain as LatticeDomain
from solvers.lattice_boltzmann.domain import face_patches as face_patches
from solvers.lattice_boltzmann.domain import lattice_domain as lattice_domain
from solvers.lattice_boltzmann.domain import wall_fractions as wall_fractions
from solvers.lattice_boltzmann.flow import FlowState as FlowState
from solvers.lattice_boltzmann.flow import LatticeBoltzmann as LatticeBoltzmann
from solvers.lattice_boltzmann.flow import Moments as Moments
from solvers.lattice_boltzmann.lattice import D3Q7 as D3Q7
from solvers.lattice_boltzmann.lattice import D3Q19 as D3Q19
from solvers.lattice_boltzmann.lattice import D3Q27 as D3Q27
from solvers.lattice_boltzmann.lattice import Lattice as Lattice
from solvers.lattice_boltzmann.opening_flow import Ramp as Ramp
from solvers.lattice_boltzmann.opening_flow import unit_inflow as unit_inflow
from solvers.lattice_boltzmann.ports import Inlet as Inlet
from solvers.lattice_boltzmann.ports import Outlets as Outlets
from solvers.lattice_boltzmann.scalar import ScalarInlet as ScalarInlet
from solvers.lattice_boltzmann.scalar import ScalarTransport as ScalarTransport
from solvers.lattice_boltzmann.trt import TRT as TRT
from solvers.lattice_boltzmann.viscosity import ConstantViscosity as ConstantViscosity
from solvers.lattice_boltzmann.viscosity import ViscosityLaw as ViscosityLaw
from solvers.lattice_boltzmann.waveform import Constant as Constant
from solvers.lattice_boltzmann.waveform import Periodic as Periodic
from solvers.lattice_boltzmann.waveform import Waveform as Waveform
