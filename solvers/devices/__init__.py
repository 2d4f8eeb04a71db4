"""One simulation, or the members of an ensemble, on several devices and hosts."""
