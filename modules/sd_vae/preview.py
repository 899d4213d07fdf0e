"""A cheap look at unfinished latents: a matrix for colours, or TAESD where its file lies in `models/vae-approx`."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.contracts.catalog import Family
from modules.contracts.errors import BrokenModel
from modules.sd_vae import linear
from modules.sd_vae.codec import computing_device, latent_channels
from modules.sd_vae.taesd import find_marked, find_taesd, load_taesd
from modules.support.latent_shape import factor_of

log = logging.getLogger(__name__)
QUALITY = 80


class Previewer:
    """Makes previews for one set of components. Safe to use from several threads; the decoder is made at first use.

    TAESD (AutoencoderTiny) is taken when its file for this latent format is in `approx_folder`, or one that is marked
    for this very VAE there or in `shipped`; else the published matrix of the latent format; else one fitted to the VAE
    and kept in `cache`.
    """

    def __init__(
        self,
        components: Mapping[str, Any],
        family: Family | None = None,
        cache: Path | None = None,
        approx_folder: Path | None = None,
        shipped: Sequence[Path] = (),
    ) -> None:
        self._vae = components["vae"]
        self._family = family
        self._cache = cache
        self._approx = approx_folder
        self._marked = (*([approx_folder] if approx_folder is not None else []), *shipped)
        self._lock = threading.Lock()
        self._decoder: Callable[[Any], Any] | None = None

    def prepare(self) -> None:
        """Do now what the first preview would do: load TAESD, or fit colours to the VAE (one pass of its encoder)."""
        self._ready()

    def preview(self, latents: Any) -> Any:
        """A PIL picture of the first of (N, C, h, w) latents; pictures of one batch stand side by side in a grid.

        Latents are as the denoiser has them, best the predicted clean ones. The size is that of the decoder: one pixel
        for each cell with a matrix, the full size with TAESD.
        """
        return _to_image(_grid(self._colours(latents)))

    def jpeg(self, latents: Any, max_side: int = 512) -> bytes:
        """`preview` as JPEG, brought to the size of the finished picture but at most `max_side` pixels."""
        from PIL import Image

        colours = self._colours(latents)
        factor = factor_of(self._vae.config) or 8
        image = _to_image(_grid(colours))
        full = factor * latents.shape[-1] / colours.shape[-1]
        scale = min(full, max_side / max(image.size))
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        if size != image.size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()

    def _colours(self, latents: Any) -> Any:
        return self._ready()(latents)

    def _ready(self) -> Callable[[Any], Any]:
        with self._lock:
            if self._decoder is None:
                self._decoder = self._make()
            return self._decoder

    def _make(self) -> Callable[[Any], Any]:
        found, channels = linear.known(self._vae), latent_channels(self._vae)
        # The published files are for the published formats only; any other VAE has one of its own, or none.
        file = find_taesd(self._approx, self._family, channels) if found else find_marked(self._marked, self._vae)
        if file is not None:
            try:
                return load_taesd(file, channels, computing_device(self._vae))
            except BrokenModel as error:
                log.warning("%s Previews use colours only.", error)
        return (found or linear.fitted(self._vae, self._cache)).apply


def _grid(pictures: Any) -> Any:
    """(N, 3, h, w) → (3, H, W): one row for up to three, then squares; empty places are black."""
    count, _, height, width = pictures.shape
    columns = count if count <= 3 else -(-int(count**0.5 * 1000) // 1000)
    rows = -(-count // columns)
    sheet = pictures.new_zeros(3, rows * height, columns * width)
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        sheet[:, top : top + height, left : left + width] = picture
    return sheet


def _to_image(picture: Any) -> Any:
    from PIL import Image

    return Image.fromarray((picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy(), "RGB")
