"""The command line as frozen data: what the flags mean once they are checked, grouped by whom they concern."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: the folder that holds launch.py."""

WEB_PORT = 7860
API_ONLY_PORT = 7861

VramMode = Literal["normal", "medvram", "lowvram"]


ATTENTIONS = (
    "sdp",
    "sdp-flash",
    "sdp-efficient",
    "sdp-cudnn",
    "sdp-math",
    "xformers",
    "flash",
    "sage",
    "sliced",
    "plain",
)
"""Ways to compute attention that `--attention` may name; which of them a device offers is found at the start."""

ATTENTION_ALIASES = {
    "sdp-no-mem": "sdp-flash",
    "doggettx": "sliced",
    "sub-quadratic": "sliced",
    "v1": "sliced",
    "invokeai": "sliced",
    "none": "plain",
}
"""A1111's names of cross-attention optimisations, and what they are here: all of its own split ones are one."""

ATTENTION_FLAGS = {
    "--xformers": "xformers",
    "--opt-sdp-attention": "sdp",
    "--opt-sdp-no-mem-attention": "sdp-flash",
    "--opt-split-attention": "sliced",
    "--opt-split-attention-v1": "sliced",
    "--opt-split-attention-invokeai": "sliced",
    "--opt-sub-quad-attention": "sliced",
    "--disable-opt-split-attention": "plain",
}
"""A1111's flags for attention, and the name that each stands for."""


class OptionError(ValueError):
    """A flag, or two flags together, ask for what cannot be. The message names the flag, the value and the way out."""


@dataclass(frozen=True)
class NetworkOptions:
    """Where the server listens and who may talk to it."""

    host: str = "127.0.0.1"
    port: int = WEB_PORT
    api: bool = True
    webui: bool = True
    api_auth: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Pairs of user and password; kept out of repr, so out of logs."""
    subpath: str = ""
    """Prefix of every address behind a reverse proxy: empty, or `/name` without a slash at its end."""
    cors_allow_origins: tuple[str, ...] = ()
    api_server_stop: bool = False
    """Admins may end the server, and have it started again, over the API."""


@dataclass(frozen=True)
class PathOptions:
    """Folders, absolute, and the model to open first (a name, a file or a hub id; None: the studio chooses)."""

    data_dir: Path = ROOT / "data"
    models_dir: Path = ROOT / "models"
    checkpoint: str | None = None
    vae: str | None = None
    extensions_dir: Path = ROOT / "extensions"
    """Other people's code: one folder each."""
    database_url: str | None = field(default=None, repr=False)
    """A PostgreSQL database in place of the SQLite file; kept out of repr, so out of logs: it may hold a password."""
    counters_url: str | None = field(default=None, repr=False)
    """A Redis or Valkey server that counts for limits a minute, in place of this process's memory; out of logs too."""


@dataclass(frozen=True)
class DeviceOptions:
    """Wishes about hardware: `use_cpu` holds some of PARTS, `device_id` is the device handler's own name."""

    use_cpu: frozenset[str] = frozenset()
    device_id: str | None = None
    no_half: bool = False
    vram: VramMode = "normal"
    attention: str | None = None
    """One of ATTENTIONS; None leaves the choice to the setting."""


@dataclass(frozen=True)
class RunOptions:
    """How the process behaves: `lanes` jobs at a time, no socket but loopback when `offline`, log as JSON lines."""

    lanes: int = 8
    offline: bool = False
    log_json: bool = False
    safe_mode: bool = False
    """Load no extension and no script of a person's own."""
    words: tuple[str, ...] = ()
    """Flags that the studio does not know; the `preload.py` of an extension may."""


@dataclass(frozen=True)
class Options:
    """Everything the command line said. Immutable; handed to the composition root once."""

    network: NetworkOptions = NetworkOptions()
    paths: PathOptions = PathOptions()
    device: DeviceOptions = DeviceOptions()
    run: RunOptions = RunOptions()


PARTS = ("all", "sd", "text", "vae", "control", "upscale", "interrogate")
"""What `--use-cpu` may name."""

PART_ALIASES = {
    "te": "text",
    "gfpgan": "upscale",
    "codeformer": "upscale",
    "esrgan": "upscale",
    "bsrgan": "upscale",
    "scunet": "upscale",
}
"""Names that A1111 uses for parts of the work, and what they are here."""


def is_loopback(host: str) -> bool:
    """Whether binding to `host` stays on this machine. A name other than localhost counts as not."""
    bare = host.strip("[]").partition("%")[0]
    if bare.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def parse_api_auth(text: str | None) -> tuple[tuple[str, str], ...]:
    """`user:password[,user:password]` as pairs. A password may hold ':', not ','; the text itself is never repeated."""
    if not text:
        return ()
    pairs = []
    for number, part in enumerate(text.split(","), start=1):
        user, colon, password = part.partition(":")
        if not (user and colon and password):
            raise OptionError(
                f"--api-auth: entry {number} is not user:password. "
                "Several are separated by commas, so a password cannot hold a comma."
            )
        pairs.append((user, password))
    return tuple(pairs)


def parse_parts(words: list[str] | None) -> frozenset[str]:
    """What `--use-cpu` was given, lower case, aliases resolved. Raises OptionError for a name that is not known."""
    names = [name.strip().lower() for word in words or () for name in word.split(",") if name.strip()]
    parts = frozenset(PART_ALIASES.get(name, name) for name in names)
    unknown = sorted(parts - set(PARTS))
    if unknown:
        raise OptionError(f"--use-cpu: {', '.join(unknown)} is not known; allowed are {', '.join(PARTS)}.")
    return parts


def parse_attention(text: str) -> str | None:
    """One of ATTENTIONS from a name, an alias or a label as A1111 writes it (`sdp - scaled dot product`); None for
    `Automatic`. Raises OptionError for a name that is not known."""
    name = text.partition(" - ")[0].strip().lower()
    name = ATTENTION_ALIASES.get(name, name)
    if name not in (*ATTENTIONS, "automatic"):
        raise OptionError(f"The attention '{text}' is not known; allowed are Automatic, {', '.join(ATTENTIONS)}.")
    return None if name == "automatic" else name


def parse_database_url(text: str | None) -> str | None:
    """The address of a PostgreSQL database as it was given; it may hold a password, so no message repeats it."""
    if text and not text.startswith(("postgresql://", "postgres://")):
        raise OptionError(
            "--database-url: the address does not begin with postgresql://; SQLite is what is used without."
        )
    return text or None


COUNTER_SCHEMES = ("redis://", "rediss://", "valkey://", "valkeys://", "unix://")


def parse_counters_url(text: str | None) -> str | None:
    """The address of a Redis or Valkey server as it was given; it may hold a password, so no message repeats it."""
    if text and not text.startswith(COUNTER_SCHEMES):
        allowed = ", ".join(COUNTER_SCHEMES)
        raise OptionError(f"--counters-url: the address does not begin with one of {allowed}; without, memory is used.")
    return text or None


def parse_subpath(text: str) -> str:
    """`name`, `/name` and `/name/` all become `/name`; the root becomes the empty string."""
    clean = text.strip().strip("/")
    if any(mark in clean for mark in "?# \\"):
        raise OptionError(f"--subpath: '{text}' is not a path prefix; an example is /atelier.")
    return f"/{clean}" if clean else ""


def check_network(network: NetworkOptions, offline: bool) -> None:
    """Refuses what cannot be and, under --offline, a bind that other machines reach. Raises OptionError.

    Whether a bind is safe also depends on accounts, which are looked up when the studio starts.
    """
    if not 0 <= network.port <= 65535:
        raise OptionError(f"--port: {network.port} is out of range; allowed are 0 to 65535 (0: any free port).")
    if not (network.api or network.webui):
        raise OptionError("--no-api and --nowebui together leave nothing to serve; drop one of them.")
    if is_loopback(network.host):
        return
    if offline:
        raise OptionError(
            f"--offline opens loopback sockets only, and {network.host} is reachable from other machines; "
            "drop --listen/--host or --offline."
        )
