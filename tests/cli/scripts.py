"""Sources of extensions for the commands about them."""

A1111 = """
import gradio as gr
from modules import scripts

class Old(scripts.Script):
    def title(self):
        return "Old one"

    def show(self, is_img2img):
        return scripts.AlwaysVisible

    def ui(self, is_img2img):
        return [gr.Slider(0, 1, 0.5, label="Strength")]
"""


def put(folder, files):
    """Write files of extensions below `folder`, by their places."""
    for path, text in files.items():
        file = folder / "extensions" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
