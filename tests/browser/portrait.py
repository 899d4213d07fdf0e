"""Takes the picture of the page that README and docs show, with the real server and the embedded model.

`python -m tests.browser.portrait [FLAG …]`; flags go to `launch.py`.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.conftest import DESKTOP, FLAGS, NAMES
from tests.e2e.server import ROOT, running

TARGET = ROOT / "docs" / "images" / "studio.png"
DRAWN = (
    ("a white cross on a red background", 3),
    ("an orange ring on a cyan background", 8),
    ("a red circle to the left of a blue square on a white background", 7),
    ("two purple hearts on a pink background", 2),
    ("a green triangle on a black background", 4),
    ("a white diamond at sunset", 6),
    ("a yellow star on a blue background", 8),
)
WAIT = 180_000


def main(*flags: str) -> None:
    """Draw the prompts one after the other and photograph the last one. `flags` go to the server."""
    browser_path = next(found for name in NAMES if (found := shutil.which(name)))
    with ExitStack() as kit:
        folder = kit.enter_context(tempfile.TemporaryDirectory())
        server = kit.enter_context(running(Path(folder) / "data", *flags))
        tool = kit.enter_context(sync_playwright())
        browser = tool.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page(viewport=DESKTOP)
        page.goto(server.url)
        for count, (prompt, seed) in enumerate(DRAWN, start=1):
            page.fill("#txt2img_prompt textarea", prompt)
            page.fill("#txt2img_seed input", str(seed))
            page.click("#txt2img_generate")
            page.wait_for_function(f"document.querySelectorAll('.thumb').length === {count}", timeout=WAIT)
            page.wait_for_function("!document.body.classList.contains('atelier-busy')", timeout=WAIT)
        page.mouse.move(700, 880)
        page.wait_for_function("[...document.images].every((image) => image.complete)", timeout=WAIT)
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        shot = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
        # 256 dithered colours make a third of the file that every clone carries, and look the same. Pillow dithers only
        # towards a palette that it is given.
        palette = shot.quantize(256, Image.Quantize.MEDIANCUT)
        shot.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(TARGET, optimize=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
