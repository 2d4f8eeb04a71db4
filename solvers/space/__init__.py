"""Maps on fields of a voxel grid, and what they are built from: one operator per file."""
