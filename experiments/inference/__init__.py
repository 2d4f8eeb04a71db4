"""Whether the estimators can be believed."""
