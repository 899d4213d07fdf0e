"""Floor F6: the HTTP front. Imports FastAPI, never torch."""
