"""ComfyUI: the graph that was run, as JSON in `prompt`, and the graph as it was drawn on screen in `workflow`.

Only the first is read. The walk begins at what saves the picture and goes along the inputs to the sampler, and from
there to texts, model, networks and the size of the latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.outputs.foreign.base import Foreign, load_object, sampling, size, tell, with_networks
from modules.outputs.foreign.graph import Graph, Node

PROGRAM = "ComfyUI"
ONLY_DRAWN = "The picture carries only the graph as it was drawn on screen, which says nothing of what was run."
NO_SAMPLER = "No sampler was found in the graph that the picture carries."


def read(items: Mapping[str, str], width: int, height: int) -> Foreign | None:
    """What such a picture says; None for any other."""
    said = load_object(items["prompt"]) if items.get("prompt", "").lstrip().startswith("{") else None
    graph = Graph(said) if said else None
    if graph is None or not graph.nodes:
        drawn = load_object(items["workflow"]) if items.get("workflow", "").lstrip().startswith("{") else None
        return Foreign(PROGRAM, "", (ONLY_DRAWN,)) if drawn and isinstance(drawn.get("nodes"), list) else None
    passes = graph.passes()
    if not passes:
        return Foreign(PROGRAM, "", (NO_SAMPLER,))
    notes: list[str] = []
    if len(passes) > 1:
        notes.append(f"The graph draws in {len(passes)} passes, of which the first is taken.")
    sampler = passes[-1]
    latent = graph.latent(sampler)
    prompt, negative = graph.texts(sampler, notes)
    model, networks = graph.model(sampler)
    wide, high = graph.size(latent)
    chosen = sampling(graph.setting(sampler, "sampler_name"), graph.schedule(sampler), notes)
    fields = {
        "Steps": graph.setting(sampler, "steps"),
        "Sampler": chosen.get("Sampler"),
        "Schedule type": chosen.get("Schedule type"),
        "CFG scale": graph.guidance(sampler),
        "Seed": graph.setting(sampler, "noise_seed", "seed"),
        "Size": size(wide, high) or (size(width, height) if len(passes) == 1 else None),
        "Model": model,
        "Denoising strength": _strength(graph, sampler, latent, notes),
        "Clip skip": graph.clip_skip(),
    }
    if any("ControlNet" in node.kind for node in graph.nodes.values()):
        notes.append("Its ControlNet units cannot be taken over.")
    if not prompt and not negative:
        notes.append("No prompt was found at its sampler.")
    return tell(PROGRAM, (with_networks(prompt, networks), negative), fields, notes)


def _strength(graph: Graph, sampler: Node, latent: Node | None, notes: list[str]) -> Any:
    """How far a picture that was given was drawn anew; None for one that began with nothing."""
    if latent is None or latent.kind.startswith("Empty"):
        return None
    notes.append("It began with a picture, which has to be given again.")
    return graph.setting(sampler, "denoise")
