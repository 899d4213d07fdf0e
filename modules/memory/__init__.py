"""Floor F2: which models stay in memory, and the measures that make a job fit."""
