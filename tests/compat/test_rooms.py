"""Tabs that extensions bring, as rooms of the page."""

from __future__ import annotations

import asyncio

import gradio as gr
import pytest

from modules.ui.rooms import build_tabs

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", ["sd-webui-mosaic-outpaint", "sd-dynamic-prompts"])
def test_their_tabs_stand_on_the_page_with_what_is_bound(tried, name):
    studio = tried(name).studio

    async def act():
        with gr.Blocks() as page, gr.Tabs():
            build_tabs(studio, {})
        return page

    page = asyncio.run(act())
    said = [one.value for one in page.blocks.values() if isinstance(one, gr.Markdown) and "could not" in str(one.value)]
    assert said == []
    assert any(isinstance(one, gr.Tab) for one in page.blocks.values())
    assert len(page.blocks) >= 5
    assert any(one.fn is not None for one in page.fns.values())
