"""The engine with scripts around it: what the lanes of the queue call."""

from __future__ import annotations

from collections.abc import Callable

from modules.contracts.plan import GenerationPlan
from modules.contracts.request import GenerationRequest
from modules.contracts.result import GenerationResult
from modules.contracts.run import Engine, RunContext
from modules.contracts.validation import validate
from modules.scripts.session import Check, Session
from modules.scripts.shelf import ScriptShelf


class ScriptedEngine:
    """Implements `Engine`. Jobs in which no script takes part go straight to the engine."""

    def __init__(self, engine: Engine, shelf: ScriptShelf, examine: Check, limit: Callable[[], float]) -> None:
        """`examine` raises for what no lane would draw; `limit` is how long a script may take at a time, seconds."""
        self._engine, self._shelf, self._examine, self._limit = engine, shelf, examine, limit

    def resolve(self, request: GenerationRequest) -> GenerationPlan:
        """The engine's plan, without scripts."""
        return self._engine.resolve(request)

    def generate(self, request: GenerationRequest, context: RunContext) -> GenerationResult:
        """As of any engine; raises `ScriptFailed` when the script that owns the run throws."""
        session = Session(self._shelf, self._engine, context, self._check, self._limit())
        if not session.gather(request):
            return self._engine.generate(request, context)
        return session.conduct(request)

    def _check(self, request: GenerationRequest) -> None:
        validate(request)
        self._examine(request)

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()
