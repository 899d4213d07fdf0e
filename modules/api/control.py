"""`/controlnet/*`: what there is to steer with, as clients of sd-webui-controlnet and Forge ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from modules.api.examples import PICTURE
from modules.api.fields import Whole, sound_text
from modules.api.images import read_mask, read_picture, to_base64
from modules.api.intake import Intake
from modules.api.jobs import REFUSED
from modules.api.services import Member, Owner, Services
from modules.contracts.control import MOST_UNITS, NO_MODEL, NO_MODULE, build_unit
from modules.contracts.controls import PROMPTING, ControlEntry, PreprocessorEntry
from modules.contracts.errors import InvalidRequest
from modules.support.studio import Studio

router = APIRouter(prefix="/controlnet", tags=["control"])
VERSION = 2
"""Of the extension's API, which these routes follow."""
ALL = "All"
MOST_DETECTED = 16
RESOLUTION = {"name": "Preprocessor Resolution", "value": 512, "min": 64, "max": 2048, "step": 8}


class ControlVersion(BaseModel):
    """Which API of the extension this is."""

    version: int = Field(examples=[VERSION])


class ControlModels(BaseModel):
    """Titles of ControlNets and adapters that can be used, after `None`."""

    model_config = ConfigDict(protected_namespaces=())
    model_list: list[str] = Field(examples=[["None", "canny [d14c016b]"]])


class ControlModules(BaseModel):
    """Preprocessors that work here, the bounds of their numbers, and what the others lack."""

    module_list: list[str] = Field(examples=[["none", "canny"]])
    module_detail: dict[str, Any] = Field(examples=[{"none": {"model_free": False, "sliders": []}}])
    missing: dict[str, str] = Field(
        description="Preprocessors of the extension that cannot work here, each with what it needs.",
        examples=[{"mlsd": "The preprocessor mlsd needs the network M-LSD (mlsd_large_512_fp32.pth, 6 MB)."}],
    )


class ControlType(BaseModel):
    """One kind of control."""

    model_config = ConfigDict(protected_namespaces=())
    module_list: list[str] = Field(examples=[["none", "canny"]])
    model_list: list[str] = Field(examples=[["None", "canny [d14c016b]"]])
    default_option: str = Field(description="Its usual preprocessor.", examples=["canny"])
    default_model: str = Field(description="Its usual model.", examples=["canny [d14c016b]"])


class ControlTypes(BaseModel):
    """Kinds of control, each with its preprocessors and models."""

    control_types: dict[str, ControlType] = Field(
        examples=[
            {
                "Canny": {
                    "module_list": ["none", "canny"],
                    "model_list": ["None", "canny [d14c016b]"],
                    "default_option": "canny",
                    "default_model": "canny [d14c016b]",
                }
            }
        ]
    )


class ControlSettings(BaseModel):
    """How much of it there is."""

    control_net_unit_count: int = Field(description="Units that a request may hold.", examples=[MOST_UNITS])


class DetectWanted(BaseModel):
    """Pictures to be preprocessed."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"examples": [{"controlnet_module": "canny", "controlnet_input_images": [PICTURE]}]},
    )
    controlnet_module: str = Field("none", max_length=200)
    controlnet_input_images: list[str] = Field(
        [],
        max_length=MOST_DETECTED,
        description="In base64 or as data URIs; `controlnet_images` is the same.",
        validation_alias=AliasChoices("controlnet_input_images", "controlnet_images"),
    )
    controlnet_masks: list[str] = Field([], max_length=MOST_DETECTED, description="One for each picture, or none.")
    controlnet_processor_res: Whole = Field(-1, ge=-1, le=2048, description="Shorter side in pixels; -1 is 512.")
    controlnet_threshold_a: float = Field(-1, ge=-1, le=4096, allow_inf_nan=False, description="-1 is its own.")
    controlnet_threshold_b: float = Field(-1, ge=-1, le=4096, allow_inf_nan=False, description="-1 is its own.")
    low_vram: bool = Field(False, description="Accepted for old clients; it changes nothing here.")

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        """Null is the default, as everywhere in the old API."""
        given = sound_text(data)
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given


class Detected(BaseModel):
    """What preprocessors made of the pictures."""

    images: list[str] = Field(description="PNG in base64, one for each picture.", examples=[[PICTURE]])
    info: str = Field(examples=["Success"])


@router.get("/version")
def control_version() -> ControlVersion:
    """Version of the extension's API that is spoken here."""
    return ControlVersion(version=VERSION)


@router.get("/model_list")
def model_list(
    studio: Services, update: Annotated[bool, Query(description="Look at the folders again.")] = True
) -> ControlModels:
    """ControlNets and adapters that units can name."""
    if update:
        studio.controls.refresh()
    return ControlModels(model_list=[NO_MODEL, *_models(studio)])


@router.get("/module_list")
def module_list(
    studio: Services, alias_names: Annotated[bool, Query(description="Show names as the page does.")] = False
) -> ControlModules:
    """Preprocessors, and what those lack that cannot work here."""
    entries = studio.controls.preprocessors()
    working = [entry for entry in entries if entry.needs is None]
    names = {entry.name: entry.label if alias_names else entry.name for entry in working}
    return ControlModules(
        module_list=list(names.values()),
        module_detail={
            names[entry.name]: {"model_free": not entry.network, "sliders": _sliders(entry)} for entry in working
        },
        missing={entry.name: entry.needs for entry in entries if entry.needs is not None},
    )


@router.get("/control_types")
def control_types(studio: Services) -> ControlTypes:
    """Kinds of control. A model belongs to a kind when its name says so."""
    working = [entry for entry in studio.controls.preprocessors() if entry.needs is None]
    tags = dict.fromkeys(tag for entry in working for tag in entry.tags)
    return ControlTypes(control_types={tag: _type_of(tag, working, _usable(studio)) for tag in (ALL, *tags)})


@router.get("/settings")
def control_settings() -> ControlSettings:
    """How many units a request may hold."""
    return ControlSettings(control_net_unit_count=MOST_UNITS)


@router.post("/detect", responses=REFUSED)
def detect(studio: Services, owner: Owner, member: Member, wanted: DetectWanted) -> Detected:
    """Preprocess pictures and give back the maps, as large as the preprocessor sees the pictures. Not for guests."""
    entry = studio.controls.find_preprocessor(wanted.controlnet_module)
    pictures, masks = wanted.controlnet_input_images, wanted.controlnet_masks
    if not pictures:
        raise InvalidRequest("No image selected: controlnet_input_images has to hold at least one picture in base64.")
    if len(masks) not in (0, len(pictures)) or (entry.masked and not masks):
        raise InvalidRequest(
            f"{len(masks)} masks came with {len(pictures)} pictures; {entry.name} takes one for each"
            + ("." if entry.masked else ", or none.")
        )
    intake = Intake(studio, owner)
    given = [intake.look(text, f"controlnet_input_images[{place}]") for place, text in enumerate(pictures)]
    shown = [intake.look(text, f"controlnet_masks[{place}]") for place, text in enumerate(masks)]
    images = []
    for place, picture in enumerate(given):
        unit = build_unit(
            {
                "module": entry.name,
                "processor_res": wanted.controlnet_processor_res,
                "threshold_a": wanted.controlnet_threshold_a,
                "threshold_b": wanted.controlnet_threshold_b,
                "image": read_picture(picture, picture.name, intake.read),
                "mask": read_mask(shown[place], shown[place].name, intake.read) if shown else b"",
            }
        )
        images.append(to_base64(studio.controls.detect(unit)))
    return Detected(images=images, info="Success")


def _models(studio: Studio) -> list[str]:
    return [entry.title for entry in _usable(studio)]


def _usable(studio: Studio) -> list[ControlEntry]:
    return [entry for entry in studio.controls.models() if entry.problem is None]


def _type_of(tag: str, working: list[PreprocessorEntry], models: list[ControlEntry]) -> ControlType:
    entries = [entry for entry in working if tag == ALL or tag in entry.tags]
    modules = [entry.name for entry in entries]
    if tag == ALL:
        fitting, usual = [entry.title for entry in models], NO_MODEL
    else:
        modules = [NO_MODULE, *modules]
        fitting = [entry.title for entry in models if _belongs(entry, tag, entries)]
        usual = fitting[0] if fitting else NO_MODEL
    return ControlType(
        module_list=modules,
        model_list=[NO_MODEL, *fitting],
        default_option=NO_MODULE if tag == ALL else modules[1],
        default_model=usual,
    )


def _belongs(entry: ControlEntry, tag: str, modules: list[PreprocessorEntry]) -> bool:
    """Whether a model is of the kind of these preprocessors: image prompts and unions go by what they are, others by
    their names."""
    if not any(module.network for module in modules):
        return False
    prompts = any(module.encoder for module in modules)
    if prompts or entry.kind in PROMPTING:
        return prompts and entry.kind in PROMPTING
    return entry.kind == "union" or any(word in entry.title.casefold() for word in _words(tag))


def _words(tag: str) -> tuple[str, ...]:
    """What stands in the names of models of a kind; what is called a union is of every kind, as a union is."""
    own = tag.casefold()
    return (own, own.replace("segmentation", "seg"), "union")


def _sliders(entry: PreprocessorEntry) -> list[dict[str, Any] | None]:
    """Resolution, threshold A and B, as far as there are any; null where a preprocessor has no resolution."""
    found: Iterator[dict[str, Any]] = (
        {"name": one.label, "value": one.default, "min": one.minimum, "max": one.maximum, "step": one.step}
        for one in entry.sliders
    )
    first: list[dict[str, Any] | None] = [dict(RESOLUTION) if entry.resolution else None]
    sliders = [*first, *found]
    return [] if sliders == [None] else sliders
