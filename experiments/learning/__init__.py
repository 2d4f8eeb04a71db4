"""What networks and regressions learn inside of equations, beside the classical answer."""
