"""All solvers by the key that the sampler table names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modules.sd_samplers import solvers_exponential, solvers_ode, solvers_restart, solvers_sde, solvers_single
from modules.sd_samplers.walk import Solver, Walk


@dataclass(frozen=True, slots=True)
class Method:
    """A solver and how many model calls each of its steps costs (the last may cost fewer)."""

    solve: Callable[[Walk], Solver]
    calls: int = 1
    whole: bool = False
    """Its plan depends on where it begins, so it is laid from there and cannot be entered in the middle."""
    open: bool = False
    """It chooses where to ask next by what the model answered, for one picture at a time."""
    plus: bool = False
    """It is CFG++: guided by a small share of the scale, and told what the model says without guidance."""


SOLVERS: dict[str, Method] = {
    "euler": Method(solvers_ode.euler),
    "heun": Method(solvers_ode.heun, 2),
    "heunpp2": Method(solvers_ode.heunpp2, 3),
    "dpm_2": Method(solvers_ode.dpm_2, 2),
    "lms": Method(solvers_ode.lms),
    "deis": Method(solvers_ode.deis),
    "ipndm": Method(solvers_ode.ipndm),
    "plms": Method(solvers_ode.plms),
    "dpmpp_2m": Method(solvers_exponential.dpmpp_2m),
    "unipc": Method(solvers_exponential.unipc),
    "euler_ancestral": Method(solvers_sde.euler_ancestral),
    "dpm_2_ancestral": Method(solvers_sde.dpm_2_ancestral, 2),
    "dpmpp_2s_ancestral": Method(solvers_sde.dpmpp_2s_ancestral, 2),
    "dpmpp_sde": Method(solvers_sde.dpmpp_sde, 2),
    "dpmpp_2m_sde": Method(solvers_sde.dpmpp_2m_sde),
    "dpmpp_2m_sde_heun": Method(solvers_sde.dpmpp_2m_sde_heun),
    "dpmpp_3m_sde": Method(solvers_sde.dpmpp_3m_sde),
    "lcm": Method(solvers_sde.lcm),
    "ddim_cfgpp": Method(solvers_ode.ddim_cfgpp, plus=True),
    "dpm_fast": Method(solvers_single.dpm_fast, whole=True),
    "dpm_adaptive": Method(solvers_single.dpm_adaptive, whole=True, open=True),
    "restart": Method(solvers_restart.restart, 2, whole=True),
}
