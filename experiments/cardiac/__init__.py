"""The heart: its electricity."""
