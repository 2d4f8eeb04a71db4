"""Blood flow."""
