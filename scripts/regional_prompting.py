"""Regional prompting: a prompt for each column, row or rectangle of a picture, a line each."""

from dataclasses import replace

from modules.scripts.v1 import InvalidRequest, Number, Script, Text


class RegionalPrompting(Script):
    """The prompt of the request is for the whole picture, each line for one area of it."""

    title = "Regional prompting"
    always_on = False
    areas = Text("Areas", "columns 1:1", help="columns 1:2:1, rows 1:1, or 0 0 0.5 1, 0.5 0 1 1")
    lines = Text("A prompt for each area, one a line")
    base = Number("Share of the whole picture's prompt", 0.2, minimum=0.0, maximum=1.0, step=0.05)

    def run(self, job, request):
        """The request with its prompts joined by `AND` and its areas filled."""
        lines = [line.strip() for line in job.values["lines"].splitlines() if line.strip()]
        if not lines:
            raise InvalidRequest("Regional prompting: write a prompt for each area, one a line.")
        whole = [request.prompt.text] if request.prompt.text.strip() else []
        prompt = replace(
            request.prompt,
            text=" AND ".join([*whole, *lines]),
            areas=f"{job.values['areas']} base {job.values['base']:g}",
        )
        yield from job.generate(replace(request, prompt=prompt)).pictures
