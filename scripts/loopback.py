"""Loopback: a picture goes through image to image again and again, each result being what the next one begins with."""

import math
from dataclasses import replace

from modules.scripts.v1 import Choice, Number, Script, encode, unseen


class Loopback(Script):
    """A1111's script of that name, with its arguments in its order."""

    title = "Loopback"
    where = "img2img"
    always_on = False
    loops = Number("Loops", 4, minimum=1, maximum=32, step=1)
    final = Number("Final denoising strength", 0.5, minimum=0.0, maximum=1.0, step=0.01)
    curve = Choice(
        "Denoising strength curve",
        "Linear",
        help="How it gets from the strength of the first loop to that of the last one.",
        choices=("Aggressive", "Linear", "Lazy"),
    )
    interrogation = unseen(Choice("Append interrogated prompt", choices=("None",)))

    def run(self, job, request):
        """One picture a loop; each batch begins with the given picture again. Seeds count on from loop to loop."""
        loops, batches, seed = job.values["loops"], request.canvas.batch_count, request.seeds.seed
        for batch in range(batches):
            one = replace(request, canvas=replace(request.canvas, batch_size=1, batch_count=1))
            one = replace(one, image=replace(one.image, images=one.image.images[:1]))
            for loop in range(loops):
                job.progress(batch * loops + loop, batches * loops)
                strength = self.strength(job, request.image.denoising_strength, loop)
                one = replace(
                    one,
                    seeds=replace(request.seeds, seed=seed),
                    image=replace(one.image, denoising_strength=strength),
                )
                pictures = job.generate(one).pictures
                if not pictures:  # somebody skipped it
                    break
                (picture,) = pictures
                yield picture
                seed = (picture.seed + 1) % 2**32
                one = replace(one, image=replace(one.image, images=(encode(picture.image),)))
                if one.inpaint is not None:  # what is drawn anew has a content from now on
                    one = replace(one, inpaint=replace(one.inpaint, fill="original"))

    def strength(self, job, first, loop):
        """Denoising strength of a loop, counted from 0: `first` in the first one, the final one in the last."""
        if job.values["loops"] == 1:
            return first
        share = loop / (job.values["loops"] - 1)
        if job.values["curve"] == "Aggressive":
            share = math.sin(share * math.pi / 2)
        elif job.values["curve"] == "Lazy":
            share = 1 - math.cos(share * math.pi / 2)
        return min(max(first + (job.values["final"] - first) * share, 0.0), 1.0)
