"""Names of array shapes, declared once (jaxtyping); checked by beartype in every test run, off in production.

``cells`` counts the voxels of a grid's box in C order. A field that is being advanced in time is a flat vector of cells, because
XLA on CPU vectorises one long axis several times better than three short ones; volumes appear only at the edges.
"""

from jaxtyping import Array, Bool, Float, Int, PyTree

Cells = Float[Array, "*batch cells"]
Volume = Float[Array, "x y z"]
Mask = Bool[Array, "x y z"]
Tensor = Float[Array, "x y z 3 3"]
Scalar = Float[Array, ""]
Flag = Bool[Array, ""]
Index = Int[Array, ""]
StepTable = Float[Array, "groups blocks steps"]
IndexTable = Int[Array, "groups blocks steps"]
Times = Float[Array, " times"]
SaveTimes = Float[Array, " saves"]
Faces = Float[Array, "_"]
State = PyTree[Array]
