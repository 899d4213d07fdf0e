"""A script of our own API out of one of A1111's for the extras tab, at work in jobs that make pictures larger.

Those before A1111's own upscaler (`order` below 1000) work on the given pictures, the others on the enlarged ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modules.a1111.desk import Gate, desk_of
from modules.a1111.house import Now, within
from modules.a1111.learning import Argument, learn
from modules.a1111.requests import decoded, encoded
from modules.a1111.scripts_postprocessing import PostprocessedImage, ScriptPostprocessing
from modules.contracts.request import GenerationRequest
from modules.contracts.scripts import PictureFacts
from modules.scripts.context import JobContext
from modules.scripts.v1 import Script

UPSCALING = 1000
"""The order of A1111's own upscaler."""
KEY, GATE = "a1111_extras", "a1111_extras_gate"


@dataclass(slots=True)
class Asked:
    """One script in one job."""

    now: Now
    script: ScriptPostprocessing
    values: dict[str, Any]
    pictures: list[PostprocessedImage]

    def call(self, method: str, pp: PostprocessedImage) -> None:
        """One method on one picture, unless a script has said that nothing more is to be done to it."""
        if not pp.disable_processing:
            with within(self.now):
                getattr(self.script, method)(pp, **self.values)


class Postprocessing(Script):
    """Base of those that are made here."""

    title = "A1111 postprocessing"
    where = "enlarging"
    package = ""
    kind: type[ScriptPostprocessing]
    file = ""
    arguments: Sequence[Argument] = ()
    gate: Gate

    def before_job(self, job: JobContext, request: GenerationRequest) -> GenerationRequest | None:
        """`process_firstpass`, and `process` of those that come before the upscaler."""
        special = any(job.values[one.name] != one.default for one in self.parameters)
        self.gate.enter(job, special=special)
        job.state[GATE] = special
        assert request.enlarge is not None
        pictures = [PostprocessedImage(decoded(data)) for data in request.enlarge.images]
        values = {one.parameter.name: one.convert(job.values[one.parameter.name]) for one in self.arguments}
        script = self.kind()
        script.filename = self.file
        asked = job.state[KEY] = Asked(Now(job, request, desk_of(self.package, job)), script, values, pictures)
        before = [(pp.image, pp.image.tobytes()) for pp in pictures]
        for pp in pictures:
            asked.call("process_firstpass", pp)
            if self.order < UPSCALING:
                asked.call("process", pp)
        images = [
            data if pp.image is old and pp.image.tobytes() == was else encoded(pp.image)
            for data, pp, (old, was) in zip(request.enlarge.images, pictures, before, strict=True)
        ]
        return replace(request, enlarge=replace(request.enlarge, images=tuple(images)))

    def picture(self, job: JobContext, facts: PictureFacts, image: Any) -> Any:
        """`process` of those that come after the upscaler; what any of them notes goes into the infotext."""
        asked: Asked | None = job.state.get(KEY)
        if asked is None:
            return None
        pp = asked.pictures[facts.index]
        if self.order >= UPSCALING:
            pp.image = image
            asked.call("process", pp)
        job.infotext.clear()
        job.infotext.update(pp.info)
        if pp.extra_images:
            job.note(f"{self.title} made {len(pp.extra_images)} more pictures, which are not kept.")
        return pp.image if self.order >= UPSCALING else None

    def job_ended(self, job: JobContext) -> None:
        """Let others in."""
        special = job.state.pop(GATE, None)
        if special is not None:
            self.gate.leave(job, special=special)


def adapt_postprocessing(kind: type[ScriptPostprocessing], file: str, package: str) -> Iterator[Script]:
    """The script. Raises `ValueError` for inputs that are none."""
    script = kind()
    script.filename = file
    rows = script.ui()
    named: dict[str, Any] = dict(rows) if isinstance(rows, dict) else {}
    arguments = learn(list(named.values()))
    for name, one in zip(named, arguments, strict=True):
        one.parameter.name = name  # by these `process` takes them
    made: Any = type(
        kind.__name__,
        (Postprocessing,),
        {"title": script.name or kind.__name__, "order": int(script.order), "__doc__": kind.__doc__},
    )
    made.parameters = tuple(one.parameter for one in arguments)
    made.package, made.kind, made.file, made.arguments, made.gate = package, kind, file, arguments, Gate()
    yield made()
