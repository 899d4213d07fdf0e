"""The program. Floors import downward only; `docs/architecture.md` draws the house."""
