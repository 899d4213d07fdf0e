"""Floor F3: samplers and sigma schedules under A1111's names, as diffusers schedulers.

`table` knows the names (no torch), `schedules` the sigmas, `solvers_*` the steps, `scheduler` puts them behind the
interface that diffusers' pipelines expect, and `build` makes one for a plan.
"""
