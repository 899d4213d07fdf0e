"""Prompts from file or textbox: every line is drawn, with settings of its own if it begins with `--`."""

import shlex
from dataclasses import replace

from modules.scripts.v1 import Choice, InvalidRequest, Script, Text, Toggle, unseen


def boolean(text):
    """`true` in any case, or not."""
    return text.casefold() == "true"


def styles(text):
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


OPTIONS = {
    "prompt": ("prompt", "text", str),
    "negative_prompt": ("prompt", "negative", str),
    "styles": ("prompt", "styles", styles),
    "sd_model": ("model", "checkpoint", str),
    "seed": ("seeds", "seed", int),
    "subseed": ("seeds", "subseed", int),
    "subseed_strength": ("seeds", "subseed_strength", float),
    "seed_resize_from_w": ("seeds", "resize_from_width", int),
    "seed_resize_from_h": ("seeds", "resize_from_height", int),
    "sampler_name": ("sampling", "sampler", str),
    "steps": ("sampling", "steps", int),
    "cfg_scale": ("sampling", "cfg_scale", float),
    "width": ("canvas", "width", int),
    "height": ("canvas", "height", int),
    "batch_size": ("canvas", "batch_size", int),
    "n_iter": ("canvas", "batch_count", int),
    "tiling": ("canvas", "tiling", boolean),
}
"""What a line may say: group and field of the request, and how its value is read."""
IDLE = frozenset({"sampler_index", "restore_faces", "do_not_save_samples", "do_not_save_grid"}) | frozenset(
    {"outpath_samples", "outpath_grids", "prompt_for_display"}
)
"""Options of A1111's that have nothing to act on here."""


class PromptsFromFile(Script):
    """A1111's script of that name, with its arguments in its order."""

    title = "Prompts from file or textbox"
    always_on = False
    iterate = Toggle("Iterate seed every line", False)
    same_seed = unseen(Toggle("Use same random seed for all lines", False))
    position = Choice("Insert prompts at the", "start", choices=("start", "end"))
    lines = Text("List of prompt inputs", lines=6)

    def run(self, job, request):
        """The pictures of one line after the other. All lines are read before the first one is drawn."""
        lines = [line.strip() for line in job.values["lines"].splitlines()]
        wanted = [self.read(job, number, line) for number, line in enumerate(lines, 1) if line]
        if not wanted:
            raise InvalidRequest("Prompts from file or textbox: there is no line to draw.")
        seed = request.seeds.seed
        for number, said in enumerate(wanted):
            job.progress(number, len(wanted))
            one = replace(request, seeds=replace(request.seeds, seed=seed))
            yield from job.generate(self.changed(job, one, said)).pictures
            if job.values["iterate"]:
                seed = (seed + request.canvas.batch_size * request.canvas.batch_count) % 2**32

    def read(self, job, number, line):
        """What a line says, by option. A line that does not begin with `--` is a prompt, whatever is in it."""
        if not line.startswith("--"):
            return {"prompt": line}
        where = f"Prompts from file or textbox, line {number}"
        said = {}
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise InvalidRequest(f"{where}: {error}.") from error
        while words:
            name = words.pop(0).removeprefix("--")
            if name not in OPTIONS and name not in IDLE:
                raise InvalidRequest(f"{where}: there is no option '--{name:.60}'; there are: {', '.join(OPTIONS)}.")
            if not words:
                raise InvalidRequest(f"{where}: '--{name}' needs a value.")
            value = words.pop(0)
            while words and not words[0].startswith("--"):  # prompts need no quotation marks
                if name not in ("prompt", "negative_prompt"):
                    raise InvalidRequest(f"{where}: '--{name}' takes one value; '{words[0]:.60}' follows it.")
                value += " " + words.pop(0)
            if name in IDLE:
                job.note(f"Lines that say --{name} are drawn as if they did not.")
                continue
            try:
                said[name] = OPTIONS[name][2](value)
            except ValueError as error:
                raise InvalidRequest(f"{where}: '--{name}' is '{value:.60}'; a number is needed.") from error
        return said

    def changed(self, job, request, said):
        """The request with what a line says; its prompts stand before or behind those of the request."""
        groups = {}
        for name, value in said.items():
            group, field, _ = OPTIONS[name]
            given = getattr(getattr(request, group), field)
            if name in ("prompt", "negative_prompt") and given and value:
                value = f"{value} {given}" if job.values["position"] == "start" else f"{given} {value}"
            groups.setdefault(group, {})[field] = value
        return replace(request, **{name: replace(getattr(request, name), **fields) for name, fields in groups.items()})
