"""The command line of the evaluation: `pocket eval`. Prints JSON, writes it and the contact sheets into a folder."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modules.pocket.evaluation.bars import Finding
    from modules.pocket.evaluation.drawing import Manner
    from modules.pocket.evaluation.family import Family
    from modules.pocket.evaluation.suite import Subject

ROOT = Path(__file__).resolve().parents[3]
FIGURES = "figures.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pocket eval`."""
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "pocket", help="diffusers folder to judge")
    parser.add_argument("--prompts", type=int, default=200, help="of adherence, places and counts; others take a part")
    parser.add_argument("--steps", type=int, help="sampling steps; the model's own if not given")
    parser.add_argument("--guidance", type=float, help="CFG scale; the model's own if not given")
    parser.add_argument("--size", type=int, help="width and height in pixels; the native ones if not given")
    parser.add_argument("--seed", type=int, default=1000, help="of the first picture of every property")
    parser.add_argument("--device", default="cpu", help="where to draw, for instance cpu or cuda")
    parser.add_argument("--batch", type=int, default=20, help="pictures drawn at once")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="measure these properties only")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pocket", help="folder of figures and sheets")


def run(arguments: argparse.Namespace) -> int:
    """0: every bar that was measured is met; 1: one is not; 2: the model or a property asked for is not there."""
    from modules.pocket.evaluation.drawing import Manner
    from modules.pocket.evaluation.family import find_family
    from modules.pocket.evaluation.pipelines import read_defaults
    from modules.pocket.evaluation.suite import evaluate

    try:
        family = find_family(arguments.model)
        defaults = read_defaults(arguments.model)
        manner = Manner(
            arguments.steps or defaults.steps,
            defaults.guidance if arguments.guidance is None else arguments.guidance,
            arguments.size or defaults.size,
            arguments.seed,
        )
        subject, sampler = open_subject(family, manner, arguments.device, arguments.batch)
        arguments.out.mkdir(parents=True, exist_ok=True)
        report = evaluate(
            subject, manner, arguments.prompts, arguments.only, lambda name, found: _show(arguments.out, name, found)
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"pocket eval: {error}\n")
        return 2
    said = {"model": family.model.name, **_describe(sampler, manner, arguments), **report.as_json()}
    write_figures(arguments.out / FIGURES, said, merge=bool(arguments.only))
    sys.stdout.write(json.dumps(said, indent=2) + "\n")
    return 0 if report.met else 1


def open_subject(family: Family, manner: Manner, device: str, batch: int) -> tuple[Subject, str]:
    """(the family opened with diffusers, the name of the model's sampler)."""
    from modules.pocket.evaluation.known import PALETTES, TRACES, open_learned
    from modules.pocket.evaluation.pipelines import (
        PipelineDraw,
        open_controls,
        open_pipeline,
        put_sampler,
        read_defaults,
    )
    from modules.pocket.evaluation.suite import Subject

    def member(folder: Path | None) -> PipelineDraw | None:
        if folder is None:
            return None
        pipeline, wanted = open_pipeline(folder, device), read_defaults(folder)
        put_sampler(pipeline, wanted)
        return PipelineDraw(pipeline, wanted, batch=batch)

    defaults = read_defaults(family.model)
    pipeline = open_pipeline(family.model, device)
    sampler = put_sampler(pipeline, defaults)
    draw = PipelineDraw(
        pipeline, defaults, open_controls({**family.controls, **family.palettes}, device), family.adapters, batch
    )
    subject = Subject(
        draw,
        defaults.guidance if manner.guidance is None else manner.guidance,
        manner.size or defaults.size,
        inpaint=member(family.inpaint),
        bare=draw.bare,
        turbo=member(family.turbo),
        controls={name: TRACES[name] for name in family.controls},
        palettes={name: PALETTES[name] for name in family.palettes},
        learned=[open_learned(name) for name in family.adapters],
    )
    return subject, sampler


def write_figures(path: Path, said: dict[str, Any], merge: bool = False) -> None:
    """Writes the figures as JSON; with `merge`, properties of an earlier run that were not measured now stay."""
    if merge and path.exists():
        earlier = json.loads(path.read_text(encoding="utf-8"))
        if earlier.get("model") == said["model"]:
            properties = {**earlier.get("properties", {}), **said["properties"]}
            left_out = {**earlier.get("left_out", {}), **said["left_out"]}
            left_out = {name: reason for name, reason in left_out.items() if name not in properties}
            met = all(each["met"] for each in properties.values())
            said = {**said, "met": met, "properties": properties, "left_out": left_out}
    path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _show(folder: Path, name: str, finding: Finding) -> None:
    """Writes the contact sheet of one property and tells on the error stream what it gave."""
    from modules.pocket.evaluation.sheets import lay_out

    if finding.shown:
        many = len(finding.shown) > 80
        sheet = lay_out(finding.shown, columns=20 if many else 10, side=64 if many else 96)
        sheet.save(folder / f"{name.replace(' ', '-')}.png", optimize=True)
    bars = ", ".join(f"{bar.name} {bar.value if bar.value is None else round(bar.value, 3)}" for bar in finding.bars)
    sys.stderr.write(f"{name}: {bars}{'' if finding.met else ' (not met)'}\n")
    sys.stderr.flush()


def _describe(sampler: str, manner: Manner, arguments: argparse.Namespace) -> dict[str, Any]:
    """How the pictures were drawn, for whoever wants to draw them again."""
    import torch

    device = torch.device(arguments.device)
    return {
        "prompts": arguments.prompts,
        "steps": manner.steps,
        "guidance": manner.guidance,
        "size": manner.size,
        "seed": manner.seed,
        "sampler": sampler,
        "device": torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"cpu, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers")},
    }
