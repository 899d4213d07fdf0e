"""Scripts as the rest of the house sees them: what a request says to them, and the moments at which a job asks them.

The engine knows `JobHooks` only. A job without scripts has none, and then nothing is asked, copied or checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from modules.contracts.errors import InvalidRequest, UnknownName
from modules.contracts.extending import AxisEntry, AxisValues, PageFile, RoomEntry, WebAnswer, WebCall

if TYPE_CHECKING:
    from modules.contracts.request import GenerationRequest

Moment = Literal[
    "before_batch",
    "after_batch",
    "conditioning",
    "before_steps",
    "model_input",
    "step_input",
    "noise_prediction",
    "clean_predictions",
    "guided_prediction",
    "stepping",
    "after_step",
    "sampled",
    "decoded",
    "picture",
]
"""When the engine asks; `modules.scripts.v1.Script` has a method of each name."""


@dataclass(frozen=True, slots=True)
class GivenValue:
    """One parameter of a script, as a request gives it."""

    name: str
    value: Any = None
    """Something that JSON can hold."""
    picture: bytes = field(default=b"", repr=False)
    """Encoded, for a parameter that is a picture."""


@dataclass(frozen=True, slots=True)
class ScriptUse:
    """What a request says to one script. Parameters that it leaves out have their defaults."""

    name: str
    """The script's title, in any case."""
    values: tuple[GivenValue, ...] = ()


@dataclass(frozen=True, slots=True)
class ScriptParams:
    """What a request says to scripts."""

    always: tuple[ScriptUse, ...] = ()
    """Values for scripts that take part in every job; those that are not named take part with their defaults."""
    run: ScriptUse | None = None
    """The script that owns the job: it decides what is drawn."""


NO_SCRIPTS = ScriptParams()


@dataclass(frozen=True, slots=True)
class PictureWish:
    """What a script wants one picture of a job to be drawn from."""

    prompt: str
    negative: str
    seed: int
    subseed: int


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One picture of a batch."""

    index: int
    """Its place within the job, from 0."""
    prompt: str
    negative: str
    seed: int
    subseed: int


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """A batch of a job."""

    number: int
    """From 0."""
    count: int
    """How many batches the job has."""
    pictures: tuple[PictureFacts, ...]
    """In the order of the rows of every tensor that is about this batch."""


@dataclass(frozen=True, slots=True)
class StepFacts:
    """Where a pass through the denoiser stands."""

    batch: BatchFacts
    second: bool
    """It is the second pass, at a larger size."""
    step: int
    """Steps that are done."""
    steps: int
    """Steps of the pass."""
    sigma: float
    """The noise level of the latents, on the scale of the sampler's schedule."""


@dataclass(frozen=True, slots=True)
class WordFacts:
    """Whose words are about to be used."""

    picture: PictureFacts
    second: bool
    negative: bool


Facts = BatchFacts | StepFacts | WordFacts | PictureFacts


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands between the engine and a value that a script may change."""

    copy: Callable[[Any], Any]
    """What a script gets: its own, so that whatever it does to it later changes nothing."""
    check: Callable[[Any], Any]
    """What a script gave, made fit for the engine. Raises `ValueError` with a sentence for anything else."""


class JobHooks(Protocol):
    """The scripts of one job, as its engine asks them. Safe from several threads; never raises but `JobCancelled`."""

    def wants(self, moment: Moment) -> bool:
        """Whether any script has something to do then. Cheap."""

    def change(self, moment: Moment, facts: Facts, value: Any, guard: Guard) -> Any:
        """`value`, or what scripts made of it, one after the other, each result checked by `guard`."""

    def tell(self, moment: Moment, facts: Facts) -> None:
        """Let scripts know."""

    def fields(self, index: int) -> Mapping[str, str]:
        """Labels and values that scripts add to the infotext of that picture."""


class ModelWatch(Protocol):
    """Whoever wants to know which models come into memory and leave it. Neither raises nor takes long."""

    def loaded(self, name: str, family: str) -> None:
        """The model stands."""

    def unloaded(self, name: str, family: str) -> None:
        """The model is let go of."""


@dataclass(frozen=True, slots=True)
class ParameterEntry:
    """A declared parameter of a script, for page, API and grid."""

    name: str
    label: str
    kind: Literal["number", "choice", "choices", "text", "toggle", "picture"]
    default: Any
    """Empty bytes for a picture."""
    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] | None = None
    lines: int = 1
    hidden: bool = False
    """It has its place over the API and is not on the page."""


@dataclass(frozen=True, slots=True)
class ScriptEntry:
    """A script that is loaded."""

    title: str
    extension: str
    where: str
    """`txt2img`, `img2img` or `both`."""
    always_on: bool
    parameters: tuple[ParameterEntry, ...]
    panel: str = ""
    """Markdown above its parameters on the page."""


@dataclass(frozen=True, slots=True)
class ExtensionEntry:
    """An extension, whatever its state."""

    name: str
    state: Literal["on", "off", "failed", "stopped"]
    """`failed` could not be loaded; `stopped` failed in too many jobs in a row."""
    scripts: tuple[ScriptEntry, ...]
    seconds: float
    """What loading it took."""
    bytes: int
    """What the process grew by meanwhile."""
    error: str
    """What went wrong last, in one sentence; empty where nothing did."""
    trace: str
    settings: Mapping[str, Any]


class Scripts(Protocol):
    """Scripts and extensions as the fronts see them."""

    @property
    def safe(self) -> bool:
        """Nothing is loaded, because the start said so."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What an admin should know."""

    def entries(self) -> tuple[ExtensionEntry, ...]:
        """All extensions, in order."""

    def offered(self, mode: str, *, always_on: bool) -> tuple[ScriptEntry, ...]:
        """Loaded scripts for `txt2img` or `img2img`, in order."""

    def find(self, title: str, mode: str, *, always_on: bool) -> ScriptEntry:
        """The script of that title, whatever its case. Raises `InvalidRequest` naming those that there are."""

    def axes(self, mode: str) -> tuple[AxisEntry, ...]:
        """What of loaded scripts may vary in a grid of `txt2img` or `img2img`, in order."""

    def read_axis(
        self, entry: AxisEntry, given: str | Sequence[Any], mode: str, request: GenerationRequest | None
    ) -> AxisValues:
        """The values of an axis, a text only where the entry reads texts. `request` is what varies, where it is known.

        Raises `InvalidRequest` with a sentence for those that the script does not take.
        """

    def recalled(self, infotext: str, fields: Mapping[str, str]) -> dict[str, str]:
        """What an infotext says by its labels, as scripts want it to be read."""

    def switch(self, name: str, action: Literal["enable", "disable", "reload"]) -> ExtensionEntry:
        """Do that to an extension. Raises `UnknownName`, and `InvalidRequest` where it cannot be done."""

    def refresh(self) -> None:
        """Look for extensions anew."""

    def configure(self, name: str, changes: Mapping[str, Any]) -> ExtensionEntry:
        """Change settings of an extension, all or none. Raises `InvalidRequest`."""

    def page_files(self) -> tuple[PageFile, ...]:
        """What extensions that are on bring to the page, in order."""

    def page_file(self, name: str, path: str) -> tuple[PageFile, bytes] | None:
        """One of them with its bytes; None where there is none."""

    def rooms(self) -> tuple[RoomEntry, ...]:
        """Rooms of extensions that are on, in order, each name once."""

    def open(self, page: Any) -> None:
        """The server is about to answer. `page` is Gradio's; None where there is none."""

    def answers(self, method: str, path: str) -> bool:
        """Whether an extension answers at a place of its own."""

    def serve(self, asked: WebCall) -> WebAnswer:
        """What it answers. Blocks. Raises `UnknownName` where nobody does, `ExtensionFailed`."""

    def answer(self, name: str, method: str, path: str, given: Mapping[str, Any], *, admin: bool) -> Any:
        """What an address of an extension answers, ready for JSON.

        Raises `UnknownName` where there is none, `NotAllowed` for one that is for admins, `ExtensionFailed`.
        """


class NoScripts:
    """Of a studio without any."""

    safe = False
    notices: tuple[str, ...] = ()

    def entries(self) -> tuple[ExtensionEntry, ...]:
        """None."""
        return ()

    def offered(self, mode: str, *, always_on: bool) -> tuple[ScriptEntry, ...]:
        """None."""
        return ()

    def find(self, title: str, mode: str, *, always_on: bool) -> ScriptEntry:
        """None."""
        raise InvalidRequest(f"Script '{title:.100}' not found; there are no scripts.")

    def axes(self, mode: str) -> tuple[AxisEntry, ...]:
        """None."""
        return ()

    def read_axis(
        self, entry: AxisEntry, given: str | Sequence[Any], mode: str, request: GenerationRequest | None
    ) -> AxisValues:
        """None."""
        raise InvalidRequest(f"Script '{entry.script:.100}' not found; there are no scripts.")

    def recalled(self, infotext: str, fields: Mapping[str, str]) -> dict[str, str]:
        """As it says."""
        return dict(fields)

    def switch(self, name: str, action: Literal["enable", "disable", "reload"]) -> ExtensionEntry:
        """None to be switched."""
        raise UnknownName(f"There is no extension '{name:.100}'.")

    def refresh(self) -> None:
        """Nowhere to look."""

    def configure(self, name: str, changes: Mapping[str, Any]) -> ExtensionEntry:
        """None to be changed."""
        raise UnknownName(f"There is no extension '{name:.100}'.")

    def page_files(self) -> tuple[PageFile, ...]:
        """None."""
        return ()

    def page_file(self, name: str, path: str) -> tuple[PageFile, bytes] | None:
        """None."""
        return None

    def rooms(self) -> tuple[RoomEntry, ...]:
        """None."""
        return ()

    def open(self, page: Any) -> None:
        """Nobody to be told."""

    def answers(self, method: str, path: str) -> bool:
        """Never."""
        return False

    def serve(self, asked: WebCall) -> WebAnswer:
        """None that answers."""
        raise UnknownName(f"Nothing answers at {asked.path:.100}.")

    def answer(self, name: str, method: str, path: str, given: Mapping[str, Any], *, admin: bool) -> Any:
        """None that answers."""
        raise UnknownName(f"There is no extension '{name:.100}'.")
