"""`/api/v1/settings`: every public setting with its type, bounds, words and default, and who may change it.

An admin's change is everybody's; anybody else's is for their own calls alone. Secrets are neither shown nor changed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, BeforeValidator, Field

from modules.api.choices import choices_of, settled
from modules.api.fields import sound_text
from modules.api.jobs import CLEAN, REFUSED
from modules.api.paging import Page, Paging, cut, matches, one_of
from modules.api.services import Own, Person, Services
from modules.contracts.accounts import Caller
from modules.contracts.errors import InvalidRequest, UnknownName
from modules.support.preferences import Preferences
from modules.support.settings import Setting
from modules.support.studio import Studio

router = APIRouter(prefix="/api/v1/settings", tags=["settings"])
TYPES: dict[type, Literal["boolean", "integer", "number", "string"]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}
"""What JSON calls the types that settings have."""
Value = bool | int | float | str


class SettingRow(BaseModel):
    """A setting and its value for whoever asks."""

    key: str = Field(description="A1111's name of the option, where it has one.", examples=["jpeg_quality"])
    label: str = Field(examples=["Quality of JPEG, WebP and AVIF"])
    help: str = Field(examples=[""])
    section: str = Field(examples=["saving"])
    scope: Literal["user", "admin"] = Field(description="Who may change it: everybody for themselves, or admins only.")
    type: Literal["boolean", "integer", "number", "string"] = Field(examples=["integer"])
    value: Value = Field(examples=[90])
    default: Value = Field(examples=[90])
    minimum: float | None = Field(examples=[1])
    maximum: float | None = Field(examples=[100])
    choices: list[str] | None = Field(description="The lawful words; null for none but the type.", examples=[None])
    own: bool = Field(description="The value is the caller's own and nobody else's.", examples=[False])
    changeable: bool = Field(description="The caller may change it.", examples=[True])


class SettingList(Page):
    """A page of settings, in their order."""

    settings: list[SettingRow]


class SettingsWanted(Paging):
    """Which settings to list."""

    text: str = Field("", max_length=200, pattern=CLEAN, description="Stands in key or label, case aside.")
    section: str | None = Field(None, max_length=64, pattern=CLEAN)
    scope: Literal["user", "admin"] | None = None


class ValueWanted(BaseModel):
    """What a setting is to be."""

    value: Value | None = Field(
        description="Null is the default, and takes back what was the caller's own.", examples=[90]
    )


Changes = Annotated[
    dict[str, Value | None],
    Body(examples=[{"samples_format": "webp", "jpeg_quality": 90}], max_length=1000),
    BeforeValidator(sound_text),
]
Key = Annotated[str, Path(max_length=200, description="Key of a setting.", examples=["jpeg_quality"])]


@router.get("", responses=REFUSED)
def list_settings(
    studio: Services, person: Person, own: Own, wanted: Annotated[SettingsWanted, Query()]
) -> SettingList:
    """Every public setting, as it is for the caller. 422 for a section that is not known."""
    declared = _public(studio)
    one_of("section", wanted.section, list(dict.fromkeys(item.section for item in declared.values())))
    chosen = [
        item
        for item in declared.values()
        if matches(wanted.text, item.key, item.label)
        and wanted.section in (None, item.section)
        and wanted.scope in (None, item.scope)
    ]
    page, following = cut(chosen, wanted)
    return SettingList(settings=_rows(studio, person, own, page), following=following, total=len(chosen))


@router.patch("", responses=REFUSED)
def change_settings(studio: Services, person: Person, own: Own, changes: Changes) -> SettingList:
    """Change several settings, all or none; answers with those. 422 for a key or value that cannot be, 404 for a
    checkpoint or VAE that is not here, 403 for what only admins change."""
    declared = _public(studio)
    for key in changes:
        if key not in declared:
            raise InvalidRequest(f"There is no setting {key[:64]!r}; /api/v1/settings lists them.")
    own.change(person, settled(studio, changes))
    rows = _rows(studio, person, own, [declared[key] for key in changes])
    return SettingList(settings=rows, following=None, total=len(rows))


@router.get("/{key}", responses=REFUSED)
def get_setting(studio: Services, person: Person, own: Own, key: Key) -> SettingRow:
    """One setting, as it is for the caller."""
    return _rows(studio, person, own, [_known(studio, key)])[0]


@router.put("/{key}", responses=REFUSED)
def put_setting(studio: Services, person: Person, own: Own, key: Key, wanted: ValueWanted) -> SettingRow:
    """Change one setting: for everybody when an admin does it, else for the caller."""
    setting = _known(studio, key)
    own.change(person, settled(studio, sound_value(setting, wanted.value)))
    return _rows(studio, person, own, [setting])[0]


def sound_value(setting: Setting, value: Any) -> dict[str, Any]:
    """The one change. Raises `InvalidRequest` for a text that is no Unicode."""
    try:
        return {setting.key: sound_text(value)}
    except ValueError as error:
        raise InvalidRequest(f"{setting.key}: {error}.") from error


def _public(studio: Studio) -> dict[str, Setting]:
    return {item.key: item for item in studio.settings.declared() if item.scope != "secret"}


def _known(studio: Studio, key: str) -> Setting:
    setting = _public(studio).get(key)
    if setting is None:
        raise UnknownName(f"There is no setting {key[:64]!r}; /api/v1/settings lists them.")
    return setting


def _rows(studio: Studio, person: Caller, own: Preferences, settings: list[Setting]) -> list[SettingRow]:
    values, mine = own.public(person.name), own.of(person.name)
    return [
        SettingRow(
            key=item.key,
            label=item.label,
            help=item.help,
            section=item.section,
            scope="admin" if item.scope == "admin" else "user",
            type=TYPES[type(item.default)],
            value=values[item.key],
            default=item.default,
            minimum=item.minimum,
            maximum=item.maximum,
            choices=choices_of(studio, item),
            own=item.key in mine,
            changeable=person.is_admin or (item.scope == "user" and person.role != "guest"),
        )
        for item in settings
    ]
