"""Linear systems of operators: the front door, its preconditioners, and transforms that are exact on boxes."""
