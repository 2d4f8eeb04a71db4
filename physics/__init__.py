"""Physiology as equations, with parameter sets named after their papers. No patient and no file format is named here."""

from physics.chemotherapy import Chemotherapy as Chemotherapy
from physics.equation import Equation as Equation
from physics.glioma_parameters import BAKER_1999 as BAKER_1999
from physics.glioma_parameters import PEDICINI_2014 as PEDICINI_2014
from physics.glioma_parameters import SWANSON_2000 as SWANSON_2000
from physics.glucose_minimal import GlucoseMinimal as GlucoseMinimal
from physics.indirect_response import IndirectResponse as IndirectResponse
from physics.logistic_log_kill import LogisticLogKill as LogisticLogKill
from physics.logistic_log_kill import bernoulli as bernoulli
from physics.parameters import Parameter as Parameter
from physics.parameters import ParameterSet as ParameterSet
from physics.pharmacokinetics import OneCompartment as OneCompartment
from physics.pharmacokinetics_transit import TransitCompartment as TransitCompartment
from physics.proliferation_invasion import ProliferationInvasion as ProliferationInvasion
from physics.proliferation_invasion import gaussian_seed as gaussian_seed
from physics.proliferation_invasion import tissue_diffusion as tissue_diffusion
from physics.radiotherapy import LinearQuadratic as LinearQuadratic
from physics.radiotherapy import biologically_effective_dose as biologically_effective_dose
from physics.radiotherapy import doses_of_equal_effect as doses_of_equal_effect
from physics.radiotherapy import surviving_fraction as surviving_fraction
