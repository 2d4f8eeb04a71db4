"""What stands around the one time loop: where the steps go, what reverse mode keeps, restarts."""
