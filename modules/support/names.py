"""Names that clients send, found in the catalogue: samplers, schedules, upscalers, VAEs, checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

from modules.contracts.catalog import Catalog, FileEntry, SamplerEntry, ScheduleEntry
from modules.contracts.errors import InvalidRequest, UnknownModel

SAME = ("", "none", "automatic", "use same sampler", "use same scheduler", "use same checkpoint", "use same choices")
"""Words that stand for 'nothing special'."""
OWN_VAE = "Automatic"
"""The VAE that came with the checkpoint."""


class SamplerNotFound(InvalidRequest):
    """404 and these first words are what old clients look for before they try another sampler."""

    kind = "sampler_not_found"
    status = 404


def find_sampler(catalog: Catalog, wanted: str) -> tuple[str, str | None]:
    """Display name of the sampler, and label of the schedule when the name ends in one ("DPM++ 2M Karras").

    Case and aliases are forgiven. Raises `SamplerNotFound`, which lists the known ones.
    """
    known = {word.casefold(): entry for entry in catalog.samplers() for word in (*entry.aliases, entry.name)}
    name = wanted.strip().casefold()
    if name in known:
        return known[name].name, None
    for entry in catalog.schedulers():
        for word in _words(entry):
            head = name.removesuffix(f" {word.casefold()}")
            if head != name and head in known:
                return known[head].name, entry.label
    listed = ", ".join(_names(catalog.samplers()))
    raise SamplerNotFound(f"Sampler not found: {wanted!r}. Known are: {listed}.")


def find_scheduler(catalog: Catalog, wanted: str) -> str:
    """Label of the schedule of that name, label or alias. Raises `InvalidRequest`, which lists the known ones."""
    name = wanted.strip().casefold()
    for entry in catalog.schedulers():
        if name in {word.casefold() for word in _words(entry)}:
            return entry.label
    listed = ", ".join(entry.label for entry in catalog.schedulers())
    raise InvalidRequest(f"Scheduler {wanted!r} is not known. Known are: {listed}.")


def find_upscaler(catalog: Catalog, wanted: str) -> str:
    """Name of the upscaler; "None" is plain Lanczos, as in A1111. Raises `InvalidRequest` with the known ones."""
    names = {entry.name.casefold(): entry.name for entry in catalog.upscalers()}
    name = wanted.strip().casefold()
    found = names.get(name) or (names.get("lanczos") if name == "none" else None)
    if found is None:
        raise InvalidRequest(f"Upscaler {wanted!r} is not known. Known are: {', '.join(names.values())}.")
    return found


def find_vae(catalog: Catalog, wanted: str) -> str | None:
    """Name of the VAE, with or without its ending. Raises `UnknownModel`.

    "Automatic" stands for the checkpoint's own, also where the settings name another; None says that nothing was asked.
    """
    if not wanted.strip():
        return None
    return OWN_VAE if wanted.strip().casefold() in SAME else _file(catalog.vaes(), wanted, "VAE")


def find_text_encoder(catalog: Catalog, wanted: str) -> str | None:
    """Name of the text encoder, with or without its ending; None is the checkpoint's own. Raises `UnknownModel`."""
    return None if wanted.strip().casefold() in SAME else _file(catalog.text_encoders(), wanted, "Text encoder")


def _file(entries: Iterable[FileEntry], wanted: str, kind: str) -> str:
    name = wanted.strip().replace("\\", "/").rsplit("/", 1)[-1].casefold()
    known = [OWN_VAE]
    for entry in entries:
        if name in {entry.name.casefold(), entry.path.name.casefold(), PurePath(entry.name).stem.casefold()}:
            return entry.name
        known.append(entry.name)
    raise UnknownModel(f"{kind} {wanted!r} is not known. Known are: {', '.join(known)}.")


def find_checkpoint(catalog: Catalog, wanted: str | None) -> str:
    """Name of the model of that name, title or hash, or of the default one.

    Windows clients write folders with backslashes. Raises `UnknownModel` or `BrokenModel`.
    """
    if wanted is not None and "\\" in wanted:
        wanted = wanted.replace("\\", "/")
    return catalog.find_model(wanted or None).name


def _words(entry: ScheduleEntry) -> tuple[str, ...]:
    return (entry.label, entry.name, *entry.aliases)


def _names(entries: Iterable[SamplerEntry]) -> list[str]:
    return [entry.name for entry in entries]
