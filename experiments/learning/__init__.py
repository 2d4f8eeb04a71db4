"""What networks learn, beside what a classical program finds."""
