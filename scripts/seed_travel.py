"""Seed travel: from one seed to the next in small steps, by the variation seed and its strength."""

from dataclasses import replace
from itertools import pairwise

from modules.scripts.v1 import InvalidRequest, Number, Script, Text, Toggle


class SeedTravel(Script):
    """Pictures on the way from the seed of the request to other seeds, one after the other."""

    title = "Seed travel"
    always_on = False
    seeds = Text("Seeds to travel to", help="Numbers with commas between them.")
    steps = Number("Pictures from one seed to the next", 8, minimum=1, maximum=256, step=1)
    back = Toggle("Back to the first one", False)

    def run(self, job, request):
        """The first picture is that of the first seed, the last one that of the last seed."""
        stops = [request.seeds.seed, *self.numbers(job.values["seeds"])]
        if job.values["back"]:
            stops.append(stops[0])
        legs = list(pairwise(stops))
        places = [(a, b, step / job.values["steps"]) for a, b in legs for step in range(job.values["steps"])]
        places.append((stops[-1], stops[-1], 0.0))
        for number, (seed, other, strength) in enumerate(places):
            job.progress(number, len(places))
            seeds = replace(request.seeds, seed=seed, subseed=other, subseed_strength=strength)
            canvas = replace(request.canvas, batch_size=1, batch_count=1)
            yield from job.generate(replace(request, seeds=seeds, canvas=canvas)).pictures

    def numbers(self, text):
        """The seeds of a text."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        if not words or not all(word.isdecimal() and int(word) < 2**32 for word in words):
            raise InvalidRequest("Seed travel: seeds to travel to are whole numbers from 0 with commas between them.")
        return [int(word) for word in words]
