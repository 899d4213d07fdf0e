"""Prompt matrix: `a cat|in snow|at night` is drawn with every combination of what stands behind the first bar."""

from dataclasses import replace

from modules.scripts.v1 import SHEET, Choice, InvalidRequest, Number, Script, Toggle, sheet

MOST = 10
"""Parts behind the first one; each doubles the pictures."""


class PromptMatrix(Script):
    """A1111's script of that name, with its arguments in its order."""

    title = "Prompt matrix"
    always_on = False
    put_at_start = Toggle("Put variable parts at start of prompt", False)
    different_seeds = Toggle("Use different seed for each picture", False)
    kind = Choice("Select prompt", choices=("positive", "negative"))
    delimiter = Choice("Select joining char", choices=("comma", "space"))
    margin = Number("Grid margins (px)", 0, minimum=0, maximum=500, step=2)

    def run(self, job, request):
        """The pictures, counting in binary with the first part as the lowest digit; then the sheet of them.

        The old API answers with the sheet first, as A1111 does.
        """
        field = "text" if job.values["kind"] == "positive" else "negative"
        first, *parts = getattr(request.prompt, field).split("|")
        if len(parts) > MOST:
            raise InvalidRequest(
                f"Prompt matrix: there are {len(parts)} parts behind the first one; {MOST} are allowed."
            )
        words = [part.strip().strip(",") for part in parts]
        seed = request.seeds.seed
        drawn = []
        for number in range(2 ** len(words)):
            job.progress(number, 2 ** len(words))
            chosen = [word for place, word in enumerate(words) if number >> place & 1]
            text = self.joined(job, first, chosen)
            shift = number if job.values["different_seeds"] else 0
            one = replace(
                request,
                prompt=replace(request.prompt, **{field: text}),
                canvas=replace(request.canvas, batch_size=1, batch_count=1),
                seeds=replace(request.seeds, seed=(seed + shift) % 2**32),
            )
            pictures = job.generate(one).pictures  # none where somebody skipped it
            drawn.append(pictures[0] if pictures else None)
            yield from pictures
        across = (len(words) + 1) // 2
        columns, rows = captions(words[:across]), captions(words[across:])
        some = next((picture for picture in drawn if picture), None)
        images = [picture and picture.image for picture in drawn] if some else []
        for image in sheet(images, columns, rows, job.values["margin"]) if some else ():
            yield replace(some, image=image, recipe={**some.recipe, SHEET: True})

    def joined(self, job, first, chosen):
        """The prompt with the chosen parts behind the first one, or before it."""
        parts = [*chosen, first] if job.values["put_at_start"] else [first, *chosen]
        return (", " if job.values["delimiter"] == "comma" else " ").join(parts)


def captions(words):
    """What each column or row has of these parts, in the order of the pictures."""
    return [", ".join(word for place, word in enumerate(words) if n >> place & 1) for n in range(2 ** len(words))]
