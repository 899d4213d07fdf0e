"""Where the program `pip` looks."""
