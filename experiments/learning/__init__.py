<<<<<<< HEAD
"""Learned closures."""
=======
"""What networks learn, beside what a classical program finds."""
>>>>>>> h_pinn
