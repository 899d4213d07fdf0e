"""Training: the loop, its clock, journal, averages and optimiser, for any network; knows no model and no data."""
