"""Large pictures by tiles: a given one made larger, and a drawn one with a second pass."""

from dataclasses import replace

from modules.scripts.v1 import Choice, Number, Script, Text

METHODS = ("Mixture of Diffusers", "MultiDiffusion")


class TiledUpscale(Script):
    """An upscaler makes the picture larger, then image to image draws it tile by tile, without seams."""

    title = "Tiled upscale"
    where = "img2img"
    always_on = False
    upscaler = Text("Upscaler", "Lanczos")
    scale = Number("Upscale by", 2.0, minimum=1.0, maximum=8.0, step=0.05)
    tile = Number("Tile, pixels", 512, minimum=32, maximum=4096, step=8)
    overlap = Number("Tile overlap, pixels", 64, minimum=0, maximum=2048, step=8)
    method = Choice("Tiled diffusion", choices=METHODS)

    def run(self, job, request):
        """The request with its groups `upscale` and `tiles` filled."""
        upscale = replace(request.upscale, upscaler=job.values["upscaler"], scale=job.values["scale"])
        yield from job.generate(replace(request, upscale=upscale, tiles=tiles(job, request))).pictures


class HiresByTiles(Script):
    """The first pass draws the whole picture small, the second one draws it large, tile by tile."""

    title = "Hires fix by tiles"
    where = "txt2img"
    always_on = False
    upscaler = Text("Upscaler", "Latent")
    scale = Number("Upscale by", 2.0, minimum=1.0, maximum=8.0, step=0.05)
    strength = Number("Denoising strength", 0.5, minimum=0.0, maximum=1.0, step=0.01)
    tile = Number("Tile, pixels", 512, minimum=32, maximum=4096, step=8)
    overlap = Number("Tile overlap, pixels", 64, minimum=0, maximum=2048, step=8)
    method = Choice("Tiled diffusion", choices=METHODS)

    def run(self, job, request):
        """The request with its groups `hires` and `tiles` filled."""
        values = job.values
        hires = replace(
            request.hires,
            enabled=True,
            upscaler=values["upscaler"],
            scale=values["scale"],
            denoising_strength=values["strength"],
        )
        asked = replace(request, hires=hires, tiles=replace(tiles(job, request), passes="second pass"))
        yield from job.generate(asked).pictures


def tiles(job, request):
    """Square tiles as the parameters say."""
    side, method = job.values["tile"], job.values["method"]
    return replace(request.tiles, method=method, width=side, height=side, overlap=job.values["overlap"])
