"""Floor F1: what the hardware is and what it can do. Importing the package imports no torch."""
