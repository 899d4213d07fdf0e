"""The public API for scripts, version 1. Nothing else of the studio is promised to stay as it is.

A script is a class:

    from modules.scripts.v1 import Number, Script

    class Brighter(Script):
        title = "Brighter"
        amount = Number("Amount", 1.2, minimum=0.0, maximum=4.0)

        def picture(self, job, facts, image):
            return image.point(lambda value: min(int(value * job.values["amount"]), 255))

One object of it serves all jobs, from several threads, so what belongs to a job is kept in `job.state`. A method that
is not overridden costs nothing. What a method gets is its own copy: only what it returns counts, None is "as it was",
and every result is checked. A method that raises is reported, the job goes on without it, and after three such jobs in
a row the extension is switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from modules.contracts.errors import InvalidRequest, ScriptFailed
from modules.contracts.request import GenerationRequest, ImageParams
from modules.contracts.result import SHEET, GenerationResult
from modules.contracts.result import Picture as DrawnPicture
from modules.contracts.scripts import BatchFacts, PictureFacts, PictureWish, StepFacts, WordFacts
from modules.scripts.drawing import encode, sheet
from modules.scripts.parameters import Choice, Choices, Number, Parameter, Picture, Text, Toggle, declared, unseen
from modules.scripts.recalling import recall

if TYPE_CHECKING:
    from PIL.Image import Image

    from modules.scripts.context import JobContext

API = 1
"""Version of this interface. It is raised when something that worked would not work any more."""

Where = Literal["txt2img", "img2img", "both", "enlarging"]

__all__ = [
    "API",
    "SHEET",
    "BatchFacts",
    "Choice",
    "Choices",
    "DrawnPicture",
    "GenerationRequest",
    "GenerationResult",
    "ImageParams",
    "InvalidRequest",
    "Number",
    "Parameter",
    "Picture",
    "PictureFacts",
    "PictureWish",
    "Room",
    "Route",
    "Script",
    "ScriptFailed",
    "StepFacts",
    "Text",
    "Toggle",
    "Where",
    "WordFacts",
    "encode",
    "recall",
    "sheet",
    "unseen",
]


@dataclass(frozen=True, slots=True)
class Route:
    """An address of an extension: `/api/v1/extensions/NAME/routes/PATH`."""

    path: str
    """Letters, digits, `-`, `_` and `/`, without a slash at either end."""
    answer: Callable[[Mapping[str, Any]], Any]
    """Gets the query's values and the fields of a JSON body; what it returns is answered as JSON."""
    method: Literal["GET", "POST"] = "GET"
    admin: bool = False
    """Only for admins; otherwise for everybody who may use the API."""


@dataclass(frozen=True, slots=True)
class Room:
    """A tab of the page that is an extension's, as it is built when the studio starts."""

    name: str
    """Letters, digits, `-` and `_`; the tab's id is `tab_NAME`."""
    title: str
    build: Callable[[Callable[[Any], None]], None]
    """Makes it of Gradio's components in the current layout. It gets a check that handlers call with their
    `gradio.Request` first: it raises for guests."""


class Script:
    """Base of all scripts. Parameters are declared as attributes: `Number`, `Choice`, `Choices`, `Text`, `Toggle`,
    `Picture`. A job that a person asked for in a way that makes no sense is ended by raising `InvalidRequest` with a
    sentence; that is not held against the script. What is not worth drawing without the script is ended by raising
    `ScriptFailed`, from any method."""

    title: ClassVar[str] = ""
    """By this it is known to people and clients; the class's name where it is empty."""
    where: ClassVar[Where] = "both"
    """Jobs it is for: from words alone, with a picture to start from, both of these, or those that make finished
    pictures larger, which ask `before_job`, `picture`, `saving`, `after_job` and `job_ended` only."""
    always_on: ClassVar[bool] = True
    """It takes part in every job. Otherwise it is chosen by name and owns the run: see `run`."""
    order: ClassVar[int] = 0
    """Lower ones come first among scripts of the same extension."""
    settings: ClassVar[tuple[Parameter, ...]] = ()
    """Parameters, with names, that an admin sets once for all jobs."""
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    """Filled from the attributes."""

    def __init_subclass__(cls, **given: Any) -> None:
        """Collects the declared parameters."""
        super().__init_subclass__(**given)
        cls.parameters = declared(cls)
        cls.title = vars(cls).get("title") or cls.__name__

    def before_job(self, job: JobContext, request: GenerationRequest) -> GenerationRequest | None:
        """The request that is drawn instead; it is checked like one that a client sends."""

    def run(self, job: JobContext, request: GenerationRequest) -> Iterable[DrawnPicture]:
        """Own the job: draw with `job.generate` and give the pictures, of which each is handed out as it comes."""
        return job.generate(request).pictures

    def after_job(self, job: JobContext, pictures: tuple[DrawnPicture, ...]) -> None:
        """All pictures are handed out."""

    def job_ended(self, job: JobContext) -> None:
        """The job is over, however it ended, and the script is asked nothing more about it."""

    def before_batch(self, job: JobContext, facts: BatchFacts) -> None:
        """A batch begins."""

    def before_picture(self, job: JobContext, facts: PictureFacts) -> None:
        """A picture of a batch that begins."""

    def after_batch(self, job: JobContext, facts: BatchFacts) -> None:
        """The pictures of a batch are finished."""

    def conditioning(self, job: JobContext, facts: WordFacts, words: dict[str, Any]) -> dict[str, Any] | None:
        """What the text encoders say of one picture's prompt: tensors by name, with the same shapes afterwards."""

    def before_steps(self, job: JobContext, facts: StepFacts, latents: Any) -> Any:
        """Latents (pictures, C, H, W), fp32, as they go into the first step of a pass."""

    def model_input(self, job: JobContext, facts: StepFacts, given: tuple[Any, Any]) -> tuple[Any, Any] | None:
        """Latents (rows, C, H, W) that the denoiser is about to see, not yet scaled for it, and the noise level of each
        row (rows). Rows are the pictures without the prompt and then with it, or with it alone. What it sees is changed
        by it, the sampler's own latents are not. Not asked with models that match flows."""

    def step_input(
        self, job: JobContext, facts: StepFacts, given: tuple[Any, Any, dict[str, Any] | None]
    ) -> tuple[Any, Any, dict[str, Any] | None] | None:
        """Asked after `model_input`, with the words of this call as well, in the same rows: `embeds` (rows, tokens,
        width), and `pooled` (rows, width) where the model has one. The words are None where a prompt changes from step
        to step or joins several."""

    def noise_prediction(self, job: JobContext, facts: StepFacts, answers: tuple[Any, Any]) -> tuple[Any, Any] | None:
        """The denoiser's answers without and with the prompt, before guidance; the first is None without guidance."""

    def clean_predictions(self, job: JobContext, facts: StepFacts, clean: tuple[Any, Any]) -> tuple[Any, Any] | None:
        """The finished latents that these answers mean, whatever kind of answer the model gives; the first may be
        None."""

    def guided_prediction(self, job: JobContext, facts: StepFacts, answer: Any) -> Any:
        """The answer after guidance, as the sampler gets it."""

    def stepping(self, job: JobContext, facts: StepFacts, way: tuple[Any, Any]) -> tuple[Any, Any] | None:
        """The latents that the sampler is about to step from, and the finished ones that it takes them to lead to."""

    def after_step(self, job: JobContext, facts: StepFacts, latents: Any) -> Any:
        """Latents after a model call of the sampler; the kept part of an inpainted picture is put back afterwards."""

    def sampled(self, job: JobContext, facts: StepFacts, latents: Any) -> Any:
        """Latents at the end of a pass, after the last `after_step`."""

    def decoded(self, job: JobContext, facts: BatchFacts, images: list[Image]) -> list[Image] | None:
        """RGB images of a batch as they come from the VAE; as many and as large afterwards."""

    def picture(self, job: JobContext, facts: PictureFacts, image: Image) -> Image | None:
        """One RGB image as it will be handed out, of whatever size up to 16384 pixels a side."""

    def saving(self, job: JobContext, picture: DrawnPicture) -> DrawnPicture | None:
        """A picture on its way into the gallery, if it goes there at all; who asked for it gets it unchanged."""

    def saved(self, job: JobContext, picture: DrawnPicture) -> None:
        """A picture is in the gallery, as this has it; not asked of jobs whose pictures do not go there."""

    def recalled(self, infotext: str, fields: dict[str, str]) -> dict[str, str] | None:
        """An infotext is read back, into the form or a request: what it says by its labels, and what is to be read
        instead."""

    def model_loaded(self, name: str, family: str) -> None:
        """A model stands in memory."""

    def model_unloaded(self, name: str, family: str) -> None:
        """A model was let go of."""

    def routes(self) -> Iterable[Route]:
        """Addresses that the extension answers."""
        return ()

    def application(self, page: Any) -> Any:
        """A FastAPI or Starlette application whose routes are answered at their own addresses, once the server is about
        to answer; `page` is Gradio's, None without one. Signed-in members may ask, and each call has a loop of its
        own."""

    def rooms(self) -> Iterable[Room]:
        """Rooms on the page."""
        return ()

    def panel(self) -> str:
        """Markdown that the page shows above the script's parameters."""
        return ""

    def closed(self) -> None:
        """The extension is switched off, loaded anew, or the studio ends."""


def overrides(script: Script, method: str) -> bool:
    """Whether a script has a method of its own in place of the base's."""
    return getattr(type(script), method) is not getattr(Script, method)
