"""The process that opens a pickled checkpoint: `python -m modules.sd_models.unpickling SOURCE TARGET`.

It answers with one line of JSON on standard output. See `modules.sd_models.convert` for why it is alone.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.remove",
    "os.rmdir",
    "os.rename",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.chown",
    "shutil.",
    "ctypes.",
    "pty.",
    "urllib.",
    "webbrowser.",
)
"""Events of the interpreter that this process may not cause while the file is open."""
SHELLED = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "numpy.", "torchmetrics.", "ldm.")
"""Libraries whose classes training programs leave in checkpoints; read as empty shells, and nothing is imported."""
PARTS = ("image_proj", "ip_adapter")
"""Of an IP-Adapter, which comes as two lists; their names stand before those of the tensors in a single one."""
NESTED = ("state_dict", "model", "params_ema", "params", "module")
"""Entries under which the weights of a checkpoint may stand."""


UNREADABLE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, RuntimeError)
"""What a file that is no checkpoint, or a damaged one, makes the reader throw."""
WANTS = re.compile(r"Unsupported (?:global|class)[:\s]+(?:GLOBAL\s+)?([\w.]+)|(?:GLOBAL|call to)\s+`?([\w.]+)")


class Refused(Exception):
    """The file is not converted; the message says why."""


class Shell:
    """Stands for an object of a class that is not needed. Takes any arguments and any state and does nothing."""

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def main(arguments: list[str]) -> int:
    """Convert; 0 when the target was written. The answer goes to standard output in either case."""
    source, target = Path(arguments[0]), Path(arguments[1])
    import torch
    from safetensors.torch import save_file

    forbid(target)
    try:
        content, replaced = read(source, torch)
        tensors, dropped = weights_of(content, torch)
        if not tensors:
            raise Refused("it holds no weights")
        save_file(separate(tensors), target, metadata={"format": "pt", "converted_from": source.name})
    except Refused as error:
        answer: dict[str, Any] = {"error": str(error)}
    except (pickle.UnpicklingError, *UNREADABLE) as error:
        answer = {"error": reason_of(error)}
    else:
        answer = {"dropped": dropped, "replaced": replaced}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if "error" in answer else 0


def reason_of(error: BaseException) -> str:
    """The reader's complaint in our words: its own advise to switch the protection off."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) and (found := WANTS.search(text)):
        return f"it wants to use {found[1] or found[2]}, which weights do not need"
    if isinstance(error, PermissionError | OSError) and text:
        return text.splitlines()[0][:300]
    return "it is damaged or no checkpoint that can be read safely"


def forbid(target: Path) -> None:
    """From now on: no network, no other process, no file written but `target`. Cannot be undone in this process."""
    allowed = str(target)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"reading the file caused {event}, which is not allowed")
        if event == "open":
            path, mode, flags = arguments
            writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writing and str(path) != allowed:
                raise PermissionError(f"reading the file caused a write to {path!r} ({mode}), which is not allowed")

    sys.addaudithook(watch)


def read(source: Path, torch: Any) -> tuple[Any, list[str]]:
    """The content of a checkpoint by torch's `weights_only` reader, and the classes that became shells.

    Raises `Refused` when the file names something that neither weights nor training programs need.
    """
    shells: list[str] = []
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(source)
    except (ValueError, RuntimeError):  # the format before torch 1.6 cannot be listed; the reader still refuses
        named = []
    strange = [name for name in named if not name.startswith(SHELLED)]
    if strange:
        raise Refused(f"it wants to use {', '.join(sorted(strange)[:5])}, which weights do not need")
    shells = sorted(named)
    with torch.serialization.safe_globals([(Shell, name) for name in shells]):
        return torch.load(source, map_location="cpu", weights_only=True), shells


def weights_of(content: Any, torch: Any) -> tuple[dict[str, Any], list[str]]:
    """The tensors of a checkpoint by name, and the names of what else stood there."""
    if not isinstance(content, Mapping):
        raise Refused(f"it holds a {type(content).__name__} where weights by name were expected")
    for key in NESTED:
        inner = content.get(key)
        if isinstance(inner, Mapping) and any(isinstance(value, torch.Tensor) for value in inner.values()):
            tensors, dropped = weights_of(inner, torch)
            return tensors, [*(str(name) for name in content if name != key), *dropped]
    groups = [name for name in PARTS if isinstance(content.get(name), Mapping)]
    if groups:
        parts = {name: weights_of(content[name], torch) for name in groups}
        joined = {f"{name}.{key}": value for name, (found, _) in parts.items() for key, value in found.items()}
        left = [f"{name}.{key}" for name, (_, dropped) in parts.items() for key in dropped]
        return joined, [*(str(name) for name in content if name not in groups), *left]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    return tensors, [str(name) for name in content if str(name) not in tensors]


def separate(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The same tensors, each in memory of its own, as the format wants it."""
    return dict(_copies(tensors.items()))


def _copies(pairs: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    seen: set[int] = set()
    for name, tensor in pairs:
        place = tensor.untyped_storage().data_ptr()
        whole = tensor.is_contiguous() and tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        yield name, tensor if whole and place not in seen else tensor.clone().contiguous()
        seen.add(place)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
