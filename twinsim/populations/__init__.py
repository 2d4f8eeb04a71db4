"""Populations of cells from counts over time: who acts on whom, and what becomes of them."""
