"""Everything that the page says in words of its own, found where it stands: in script, declarations and Blocks.

A sentence with places for values is written with numbered braces, `{0} of {1}`; a place that begins with an equals
sign, `{=0}`, holds what people wrote.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.support.options import CORE_SETTINGS
from modules.ui.facts import choices_of, detector_choices

ROOT = Path(__file__).resolve().parents[2]
SAME = frozenset(
    [
        "Atelier",
        "HyperTile",
        "VAE",
        "SEG",
        "PAG",
        "SLG",
        "FreeU",
        "ControlNet",
        "IP-Adapter",
        "Ctrl",
        "Alt",
        "GiB",
        "MiB",
        "KiB",
        "TiB",
        "Eta",
        "png",
        "jpeg",
        "webp",
        "avif",
        "mp4",
        "Karras",
        "Deutsch",
        "English",
        "hires",
        "MultiDiffusion",
        "DeepCache",
        "TaylorSeer",
    ]
) | {"Mixture of Diffusers", "First block", "{0} h {1} min", "{0} min", "{0} min {1} s", "https://"}
"""What is the same in every language: names, units."""
UNSEEN = frozenset(
    [
        "ArrowUp",
        "ArrowDown",
        "ArrowLeft",
        "ArrowRight",
        "Home",
        "End",
        "PageUp",
        "PageDown",
        "Escape",
        "Enter",
        "AbortError",
        "Content-Type",
        "Ctrl+Z",
        "Ctrl+Shift+Z",
        "H",
    ]
) | {
    "Negative prompt:",
    "use strict",
    "body over-one-another",
    "body side-by-side",
    "area {0}",
    "curve {0}",
    "dot {0}",
    "600 12px system-ui, sans-serif",
    "{0}px",
    "a script",
    "job {0}{1}{2}",
    "The extension {0} could not bring {1}.",
    "The extension {0} failed on the page:",
    "What extensions bring to the page could not be fetched:",
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; sandbox allow-scripts",
    "sampling.sampler: DDIM, Euler",
    "steps > 20 and cfg_scale < 5",
}
"""What looks like words and is none of the page's: keys, headers, infotext, styles, the console, examples."""
SMALL = frozenset({"on", "off", "empty"})
"""Words of the script that stand where the scanner takes words for code."""
LEFT = ("credits left today", "credits left this month", "pictures this minute", "more jobs may wait")
BUILT = frozenset(
    {f"{{0}} {words}" for words in (*LEFT, "picture this minute", "more job may wait", "of {1} tokens")}
    | {"{0} of {1} tokens in {2} pieces", "Starting", "Building the page", "Loading torch and diffusers", "Ready"}
    | {"LoRA weight: {=0}", "ControlNet {0}: {1}", "Script"}
    | {"Ready, but not with the default model: {=0}", "Ready, but the default model failed to load: {=0}."}
)
"""What is put together or said elsewhere: the allowance, the count of tokens, the start, axes, the panel for styles."""
REGEX_AFTER = "(,=:[!&|?{};"
"""Behind these a slash begins a regular expression, and no division."""
CHILD = re.compile(r"""(?:\{\}|\]|" "), (?:[^"`()]*\? )?"([a-z]+)"(?: : "([a-z]+)")?""")
"""Small words that are children of an element: `h("span", {}, "selected")`."""
OWN = re.compile(r"\s*(?:title\(|name\b|error\b)|\.name\b|\.file\b")
"""Expressions whose value people wrote."""


def of_script(text: str) -> set[str]:
    """What a file of `javascript/` says."""
    found = {word for pair in CHILD.findall(text) for word in pair if word}
    _read(text, 0, found, inside=False)
    return {said for said in found if (said.islower() and said.isalpha()) or worded(said)}


def _read(text: str, at: int, found: set[str], *, inside: bool) -> int:
    """Add the literals from there on, to the end or, `inside` a template, to the brace that closes the expression."""
    depth, last = 0, "("
    while at < len(text):
        mark = text[at]
        if inside and mark == "}" and not depth:
            return at + 1
        if text.startswith("//", at):
            at = text.find("\n", at)
            continue
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            continue
        depth += {"{": 1, "}": -1}.get(mark, 0)
        if mark in "\"'":
            end = at + 1
            while text[end] != mark:
                end += 2 if text[end] == "\\" else 1
            said = text[at + 1 : end].replace("\\" + mark, mark)
            if worded(said):
                found.add(said.strip())
            at = end + 1
        elif mark == "`":
            at = _template(text, at + 1, found)
        elif mark == "/" and last in REGEX_AFTER:
            at, bracket = at + 1, False
            while text[at] != "/" or bracket:
                bracket = {"[": True, "]": False}.get(text[at], bracket)
                at += 2 if text[at] == "\\" else 1
            at += 1
        else:
            at += 1
        last = last if mark.isspace() else mark
    return at


def _template(text: str, at: int, found: set[str]) -> int:
    """Add a template literal with numbered places, and what its expressions say; gives where it ends."""
    said, number = "", 0
    while text[at] != "`":
        if text.startswith("${", at):
            end = _read(text, at + 2, found, inside=True)
            said += ("{=" if OWN.search(text[at + 2 : end - 1]) else "{") + f"{number}}}"
            number, at = number + 1, end
        else:
            said, at = said + text[at], at + 1
    if worded(said):
        found.add(said.strip())
    return at + 1


def worded(text: str) -> bool:
    """Whether somebody would read it: words with a space between, or one that begins large."""
    plain = re.sub(r"\{=?\d\}", "", text).strip()
    if (
        text.strip() in SAME | UNSEEN
        or not re.search(r"[A-Za-z]{2}", plain)
        or re.search(r"[<>#=\[\]_/\\]|\w\(|\.\w", plain)
    ):
        return False
    if re.fullmatch(r"[MLHVCZAmlhvcza\d\s.,-]*\d[MLHVCZAmlhvcza\d\s.,-]*", plain) or plain.startswith((".", "--", "@")):
        return False
    if re.fullmatch(r"[A-Z][a-z]+(?:[-'][a-z]+)*[.:]?", plain):
        return True
    return bool(re.search(r"[A-Za-z][a-z]*,? [a-zA-Z]|\d [a-z]{3}|[a-z] [{]|[}] ?[a-z]{2}", text)) and not re.fullmatch(
        r"[a-z0-9-]+(?:, ?[a-z0-9-]+)+", plain
    )


def of_scripts() -> dict[str, str]:
    """What the files of `javascript/` say, each with the first of them that says it."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "javascript").glob("*.js")):
        for text in of_script(path.read_text("utf-8")):
            found.setdefault(text, f"javascript/{path.name}")
    return found


SAID_BY = frozenset({"Info", "Warning", "Error", "InvalidRequest", "UnknownName", "describe", "refusal"})
TOLD = ("jobview.py",)
"""Files of `modules/ui` all of whose words are shown."""


def of_handlers() -> dict[str, str]:
    """Sentences that the page's handlers say, each with the file where it stands."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "modules" / "ui").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in _spoken(tree, whole=path.name in TOLD):
            if id(node) in documented:
                continue
            text = _text(node)
            if worded(text):
                found.setdefault(text, f"modules/ui/{path.name}")
    return found


def _spoken(tree: ast.AST, *, whole: bool) -> Iterator[ast.expr]:
    if whole:
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and id(node) not in inside):
                yield node
        return
    for node in ast.walk(tree):
        name = node.func if isinstance(node, ast.Call) else None
        if name is not None and (getattr(name, "attr", "") or getattr(name, "id", "")) in SAID_BY:
            yield from (part for part in (*node.args, *(word.value for word in node.keywords)))
        elif (
            isinstance(node, ast.Assign)
            and getattr(node.targets[0], "id", "").isupper()
            and isinstance(node.value, ast.Constant | ast.JoinedStr)
        ):
            yield node.value


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if not isinstance(node, ast.JoinedStr):
        return ""
    said, number = "", 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            said += part.value
        else:
            said, number = f"{said}{{{number}}}", number + 1
    return said


PLAIN = frozenset({"localization", "samples_format", "cross_attention_optimization"})
"""Settings whose lawful words are names."""
SILENT = frozenset({"state", "json"})


def of_page(page: Any, names: frozenset[str]) -> dict[str, str]:
    """Labels, placeholders and choices of a page that was built; `names` are those of a catalogue."""
    found: dict[str, str] = {}
    for part in page.get_config_file()["components"]:
        props, kind = part["props"], part["type"]
        if props.get("visible") == "hidden" or kind in SILENT:
            continue
        texts = [props.get("label"), props.get("placeholder"), props.get("info")]
        texts += [props.get("value")] if kind == "button" else []
        place = f"{kind} {props.get('elem_id') or ''}".strip()
        if not place.endswith("_controlnet_module"):
            texts += [choice[0] for choice in props.get("choices") or [] if choice[0] not in names]
        for text in (part for whole in texts if isinstance(whole, str) for part in _parts(whole)):
            if re.search(r"[A-Za-z]{2}", text) and text not in SAME | UNSEEN:
                found.setdefault(text, place)
    return found


def _parts(text: str) -> tuple[str, ...]:
    """What the page looks up of a label: a unit's apart from its number, a parameter's apart from its group."""
    unit = re.fullmatch(r"ControlNet \d: (.+)|Unit \d", text)
    if unit is not None:
        return (unit.group(1) or "Unit {0}",)
    group = re.fullmatch(r"(.+) \((enlarge|image|hires)\)", text)
    return (text,) if group is None else (group.group(1), group.group(2))


def names_of(studio: Any) -> frozenset[str]:
    """What the lists of the page hold that are filled from folders and tables, as they show it."""
    lists = ("models", "samplers", "schedulers", "upscalers", "restorers", "vaes", "text_encoders")
    found = {shown for kind in lists for shown, _ in choices_of(studio.catalog, kind)}
    found |= {shown for shown, _ in detector_choices(studio.detectors)}
    found |= {entry.name for entry in studio.controls.preprocessors()}
    return frozenset(found - {"Automatic", "None", "none"})


def of_settings() -> dict[str, str]:
    """Labels, explanations and lawful words of the settings."""
    found: dict[str, str] = {}
    for item in CORE_SETTINGS:
        if item.scope == "secret":
            continue
        words = item.choices if isinstance(item.choices, tuple) and item.key not in PLAIN else ()
        for text in (item.label, item.help, *words):
            if re.search(r"[A-Za-z]{2}", text) and text not in SAME:
                found.setdefault(text, f"the setting {item.key}")
    return found


def everything(page: Any, studio: Any) -> dict[str, str]:
    """All that a dictionary has to have, each with where it stands."""
    rest = dict.fromkeys(BUILT | SMALL, "tests/ui/words.py")
    return {**rest, **of_page(page, names_of(studio)), **of_settings(), **of_handlers(), **of_scripts()}
