"""Single files of other kinds than checkpoints, such as VAEs, as rows of the catalogue."""

from __future__ import annotations

from pathlib import Path

from modules.contracts.catalog import FileEntry
from modules.contracts.errors import BrokenModel
from modules.sd_models.detect import is_vae
from modules.sd_models.folders import read_weights
from modules.sd_models.header import Header, read_header
from modules.sd_models.scan import find_files
from modules.sd_models.sources import EMBEDDINGS, read_bare


def list_files(models: Path, kind: str) -> tuple[FileEntry, ...]:
    """All files and component folders of one kind, usable or not, by name; a name that is taken gets its ending."""
    entries: dict[str, FileEntry] = {}
    for path in find_files(models, kind):
        name = path.stem if path.is_file() else path.name
        if name in entries:
            name = path.name if path.name not in entries else f"{path.parent.name}/{path.name}"
        entries[name] = FileEntry(name, path, kind, _problem(path, kind))
    return tuple(sorted(entries.values(), key=lambda entry: (entry.problem is not None, entry.name.casefold())))


def _problem(path: Path, kind: str) -> str | None:
    """Why the file cannot be used, told from its header."""
    try:
        header: Header = read_weights(path) if path.is_dir() else read_header(path)
    except BrokenModel as error:
        return error.message
    except OSError as error:
        return f"{path.name} cannot be read: {error.strerror or error}."
    if kind == "vae" and not is_vae(header.shapes):
        return f"{path.name} is not a VAE: neither decoder.conv_in nor first_stage_model.decoder.conv_in is in it."
    if kind == "text-encoders" and not _is_text_encoder(header):
        return f"{path.name} is no text encoder that is known."
    return None


def _is_text_encoder(header: Header) -> bool:
    source = read_bare(header)
    return source is not None and any(name in source.shapes for name in EMBEDDINGS)
