"""Outpainting: the canvas grows round a picture, and what is new is drawn. A1111's two scripts for it."""

from dataclasses import replace

from modules.scripts.v1 import Choice, Choices, InvalidRequest, Number, Script, Text, unseen

SIDES = {"left": "left", "right": "right", "up": "top", "down": "bottom"}
"""What A1111 calls a side, and the request."""


def grown(request, pixels, directions, blur, fill):
    """The request with margins of so many pixels. As in A1111, twice the blur of the picture is drawn anew."""
    if request.inpaint is not None:
        raise InvalidRequest("This script says itself what is drawn; leave the mask out.")
    if not directions:
        raise InvalidRequest("Outpainting needs a direction: left, right, up or down.")
    sides = {SIDES[word]: pixels for word in directions}
    return replace(request, outpaint=replace(request.outpaint, **sides, blur=blur, overlap=2 * blur, fill=fill))


class PoorMansOutpainting(Script):
    """A1111's script of that name, with its arguments in its order."""

    title = "Poor man's outpainting"
    where = "img2img"
    always_on = False
    pixels = Number("Pixels to expand", 128, minimum=8, maximum=256, step=8)
    blur = Number("Mask blur", 4, minimum=0, maximum=64, step=1)
    fill = Choice("Masked content", choices=("fill", "original", "latent noise", "latent nothing"))
    directions = Choices("Outpainting direction", default=tuple(SIDES), choices=tuple(SIDES))

    def run(self, job, request):
        """All sides at once."""
        values = job.values
        if values["fill"] == "original":
            raise InvalidRequest("Margins have no content of their own; choose fill, latent noise or latent nothing.")
        asked = grown(request, values["pixels"], values["directions"], values["blur"], values["fill"])
        yield from job.generate(asked).pictures


class OutpaintingMk2(Script):
    """A1111's script of that name, with its arguments in its order. Margins begin with noise."""

    title = "Outpainting mk2"
    where = "img2img"
    always_on = False
    info = unseen(Text("Nothing; A1111 has an explanation in this place"))
    pixels = Number("Pixels to expand", 128, minimum=8, maximum=256, step=8)
    blur = Number("Mask blur", 8, minimum=0, maximum=64, step=1)
    directions = Choices("Outpainting direction", default=tuple(SIDES), choices=tuple(SIDES))
    exponent = unseen(Number("Fall-off exponent", 1.0, minimum=0.0, maximum=4.0, step=0.01))
    variation = unseen(Number("Color variation", 0.05, minimum=0.0, maximum=1.0, step=0.01))

    def run(self, job, request):
        """All sides at once."""
        values = job.values
        if (values["exponent"], values["variation"]) != (1.0, 0.05):
            job.note(
                "Outpainting mk2: fall-off exponent and colour variation changed nothing; margins begin with noise."
            )
        yield from job.generate(
            grown(request, values["pixels"], values["directions"], values["blur"], "latent noise")
        ).pictures
