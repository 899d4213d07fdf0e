"""The look of the page: paper and ink with one warm accent, light and dark. Fonts come from Gradio's own folder.

Only Gradio's variables are set here; layout and everything of our own is in `javascript/studio.css`.
"""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import fonts, sizes

INK = gr.themes.Color(
    name="ink",
    c50="#faf8f5",
    c100="#f3f0eb",
    c200="#e6e1d9",
    c300="#d2cbc0",
    c400="#a39b8f",
    c500="#716a60",
    c600="#5c564e",
    c700="#443f39",
    c800="#2a2723",
    c900="#1d1b18",
    c950="#141310",
)
EMBER = gr.themes.Color(
    name="ember",
    c50="#fdf3ee",
    c100="#fbe3d8",
    c200="#f6c4ae",
    c300="#f09f7e",
    c400="#ea7d55",
    c500="#d9572b",
    c600="#bd4219",
    c700="#9a3412",
    c800="#7a2b12",
    c900="#5f2411",
    c950="#36120a",
)


class Atelier(gr.themes.Base):
    """Gradio's base theme in the studio's colours. Asks no other host for anything: every font is local.

    The 600 weights that Gradio ships hold a few glyphs only, so bold text takes the whole 700 ones.
    """

    def __init__(self) -> None:
        super().__init__(
            primary_hue=EMBER,
            secondary_hue=EMBER,
            neutral_hue=INK,
            radius_size=sizes.radius_md,
            text_size=sizes.text_md,
            font=(fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
            font_mono=(fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
        )
        self.name = "atelier"
        self._ground()
        self._inputs()
        self._buttons()

    def _ground(self) -> None:
        self.set(
            body_background_fill="*neutral_50",
            body_background_fill_dark="*neutral_950",
            body_text_color="*neutral_900",
            body_text_color_dark="*neutral_100",
            body_text_color_subdued="*neutral_500",
            body_text_color_subdued_dark="*neutral_400",
            background_fill_primary="white",
            background_fill_primary_dark="*neutral_900",
            background_fill_secondary="*neutral_50",
            background_fill_secondary_dark="*neutral_950",
            border_color_primary="*neutral_200",
            border_color_primary_dark="*neutral_800",
            block_background_fill="transparent",
            block_background_fill_dark="transparent",
            block_border_width="0px",
            block_border_width_dark="0px",
            block_padding="0px",
            block_shadow="none",
            block_label_background_fill="transparent",
            block_label_background_fill_dark="transparent",
            block_title_text_color="*neutral_600",
            block_title_text_color_dark="*neutral_300",
            block_title_text_weight="600",
            block_title_text_size="*text_sm",
            block_info_text_size="*text_xs",
            panel_background_fill="transparent",
            panel_background_fill_dark="transparent",
            form_gap_width="0px",
            layout_gap="14px",
            color_accent="*primary_600",
            color_accent_soft="*primary_50",
            color_accent_soft_dark="*neutral_800",
        )

    def _inputs(self) -> None:
        self.set(
            input_background_fill="white",
            input_background_fill_dark="*neutral_900",
            input_background_fill_focus="white",
            input_background_fill_focus_dark="*neutral_900",
            input_border_color="*neutral_300",
            input_border_color_dark="*neutral_700",
            input_border_color_focus="*primary_500",
            input_border_color_focus_dark="*primary_400",
            input_border_width="1px",
            input_shadow="none",
            input_shadow_focus="0 0 0 3px color-mix(in srgb, *primary_500 22%, transparent)",
            input_placeholder_color="*neutral_500",
            input_placeholder_color_dark="*neutral_400",
            input_radius="10px",
            slider_color="*primary_600",
            slider_color_dark="*primary_400",
            checkbox_background_color_selected="*primary_600",
            checkbox_border_color="*neutral_400",
            checkbox_border_color_dark="*neutral_600",
            checkbox_label_background_fill="white",
            checkbox_label_background_fill_dark="*neutral_900",
            checkbox_label_background_fill_selected="*neutral_900",
            checkbox_label_background_fill_selected_dark="*neutral_100",
            checkbox_label_text_color_selected="white",
            checkbox_label_text_color_selected_dark="*neutral_950",
            checkbox_label_border_color="*neutral_300",
            checkbox_label_border_color_dark="*neutral_700",
        )

    def _buttons(self) -> None:
        self.set(
            button_border_width="1px",
            button_large_radius="10px",
            button_medium_radius="10px",
            button_small_radius="8px",
            button_large_text_weight="600",
            button_primary_background_fill="*primary_600",
            button_primary_background_fill_dark="*primary_400",
            button_primary_background_fill_hover="*primary_700",
            button_primary_background_fill_hover_dark="*primary_300",
            button_primary_border_color="transparent",
            button_primary_border_color_dark="transparent",
            button_primary_text_color="white",
            button_primary_text_color_dark="*neutral_950",
            button_secondary_background_fill="white",
            button_secondary_background_fill_dark="*neutral_900",
            button_secondary_background_fill_hover="*neutral_100",
            button_secondary_background_fill_hover_dark="*neutral_800",
            button_secondary_border_color="*neutral_300",
            button_secondary_border_color_dark="*neutral_700",
            button_secondary_text_color="*neutral_800",
            button_secondary_text_color_dark="*neutral_100",
        )
