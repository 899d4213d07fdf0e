"""What pictures of other programs say, in the shapes in which those programs publish it, becomes a request."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image, PngImagePlugin

from modules.contracts.infotext import parse, to_request
from modules.contracts.request import GenerationRequest
from modules.outputs.foreign import maker
from modules.outputs.metadata import MAX_TEXT, read_metadata
from tests.outputs.making import image


def made_png(**texts):
    """A PNG of 48 by 32 pixels with those texts in it; what is no text is written as JSON."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        chunks.add_text(key.replace("_", "-", 1) if key == "sd_metadata" else key, said(value))
    out = io.BytesIO()
    image().save(out, "PNG", pnginfo=chunks)
    return out.getvalue()


def png(**texts):
    """What is read of such a picture."""
    return read_metadata(made_png(**texts))


def said(value):
    return value if isinstance(value, str) else json.dumps(value)


def asked(found):
    """The request that a picture asks for; nothing of it may be unknown."""
    request, unknown = to_request(parse(found.infotext), GenerationRequest())
    assert unknown == ()
    return request


def facts(request):
    """The fields that these pictures speak of."""
    return (
        request.prompt.text,
        request.prompt.negative,
        request.sampling.steps,
        request.sampling.sampler,
        request.sampling.scheduler,
        request.sampling.cfg_scale,
        request.seeds.seed,
        (request.canvas.width, request.canvas.height),
        request.model.checkpoint,
    )


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


SIMPLE = {
    "3": node(
        "KSampler", seed=156680208700286, steps=20, cfg=8.0, sampler_name="dpmpp_2m_sde_gpu", scheduler="karras",
        denoise=1.0, model=["11", 0], positive=["6", 0], negative=["7", 0], latent_image=["5", 0],
    ),
    "4": node("CheckpointLoaderSimple", ckpt_name="sd15\\dream shaper_8.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
    "6": node("CLIPTextEncode", text="a bottle,\n purple galaxy ", clip=["12", 0]),
    "7": node("CLIPTextEncode", text="text, watermark", clip=["12", 0]),
    "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
    "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    "10": node("LoraLoader", lora_name="ink.safetensors", strength_model=0.8, model=["4", 0], clip=["4", 1]),
    "11": node("LoraLoaderModelOnly", lora_name="deep/light.safetensors", strength_model=1, model=["10", 0]),
    "12": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["10", 1]),
}  # fmt: skip
"""The graph that ComfyUI opens with, with two networks on its model."""

ADVANCED = {
    "5": node("EmptySD3LatentImage", width=1024, height=576, batch_size=1),
    "6": node("CLIPTextEncode", text=["40", 0], clip=["11", 0]),
    "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
    "9": node("SaveImage", filename_prefix="x", images=["8", 0]),
    "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="default"),
    "13": node(
        "SamplerCustomAdvanced", noise=["25", 0], guider=["22", 0], sampler=["16", 0], sigmas=["17", 0],
        latent_image=["5", 0],
    ),
    "16": node("KSamplerSelect", sampler_name="euler"),
    "17": node("BasicScheduler", scheduler="simple", steps=28, denoise=1, model=["30", 0]),
    "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
    "25": node("RandomNoise", noise_seed=["41", 0]),
    "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
    "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=1024, height=576, model=["12", 0]),
    "40": node("PrimitiveStringMultiline", value="a fox"),
    "41": node("PrimitiveInt", value=77),
}  # fmt: skip
"""A graph for Flux, whose text and seed come from nodes of their own."""


def two_passes():
    """A first pass, its latent made larger, and a second sampler over it, with a ControlNet before both."""
    return {
        **SIMPLE,
        "20": node(
            "ControlNetApplyAdvanced", positive=["6", 0], negative=["7", 0], strength=1.0, control_net=["21", 0]
        ),
        "3": node("KSampler", **{**SIMPLE["3"]["inputs"], "positive": ["20", 0], "negative": ["20", 1]}),
        "30": node("LatentUpscaleBy", samples=["3", 0], scale_by=1.5),
        "31": node("KSampler", **{**SIMPLE["3"]["inputs"], "seed": 1, "steps": 9, "latent_image": ["30", 0]}),
        "8": node("VAEDecode", samples=["31", 0], vae=["4", 2]),
    }


PROMPT = "a bottle,\npurple galaxy <lora:ink:0.8> <lora:light:1>"


def test_comfyui_by_its_graph():
    found = png(prompt=SIMPLE, workflow={"nodes": []})
    request = asked(found)
    assert facts(request) == (
        PROMPT, "text, watermark", 20, "DPM++ 2M SDE", "Karras", 8, 156680208700286, (512, 768), "dream shaper_8",
    )  # fmt: skip
    assert request.prompt.clip_skip == 2
    assert (found.program, found.notes) == ("ComfyUI", ())


def test_comfyui_put_together_from_parts():
    found = png(prompt=ADVANCED)
    assert facts(asked(found)) == ("a fox", "", 28, "Euler", "Simple", 3.5, 77, (1024, 576), "flux1-dev")
    assert found.notes == ()


def test_of_several_passes_the_first_is_taken_and_said():
    found = png(prompt=two_passes())
    assert facts(asked(found))[:8] == (
        PROMPT, "text, watermark", 20, "DPM++ 2M SDE", "Karras", 8, 156680208700286, (512, 768),
    )  # fmt: skip
    assert found.notes == (
        "The graph draws in 2 passes, of which the first is taken.",
        "Its ControlNet units cannot be taken over.",
    )


def test_a_graph_that_begins_with_a_picture_says_so():
    graph = {
        **SIMPLE,
        "3": node("KSampler", **{**SIMPLE["3"]["inputs"], "denoise": 0.6, "sampler_name": "res_multistep"}),
        "5": node("VAEEncode", pixels=["50", 0], vae=["4", 2]),
        "50": node("LoadImage", image="me.png"),
    }
    found = png(prompt=graph)
    said_ = parse(found.infotext)
    assert said_["Denoising strength"] == "0.6"
    assert "Sampler" not in said_
    assert (said_["Size-1"], said_["Size-2"]) == ("48", "32")
    assert "no sampler here for 'res_multistep'" in found.notes[0]
    assert found.notes[1] == "It began with a picture, which has to be given again."


def test_several_texts_are_joined_and_an_emptied_one_is_none():
    graph = {
        **SIMPLE,
        "3": node("KSampler", **{**SIMPLE["3"]["inputs"], "positive": ["60", 0], "negative": ["61", 0]}),
        "60": node("ConditioningCombine", conditioning_1=["6", 0], conditioning_2=["62", 0]),
        "61": node("ConditioningZeroOut", conditioning=["6", 0]),
        "62": node("CLIPTextEncodeSDXL", text_g="stars", text_l="stars", clip=["4", 1]),
    }
    found = png(prompt=graph)
    request = asked(found)
    assert request.prompt.text.startswith("a bottle,\npurple galaxy, stars")
    assert request.prompt.negative == ""
    assert found.notes == ("Several texts were joined into one, without the areas or times they stood for.",)


def test_comfyui_in_webp_is_under_other_tags():
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{json.dumps(ADVANCED)}"
    exif[0x010F] = 'workflow:{"nodes": []}'
    out = io.BytesIO()
    image().save(out, "WEBP", exif=exif)
    found = read_metadata(out.getvalue())
    assert asked(found).seeds.seed == 77
    assert sorted(found.items) == ["prompt", "workflow"]


def test_a_graph_as_it_was_drawn_brings_nothing_and_says_so():
    found = png(workflow={"nodes": [{"id": 1, "type": "KSampler"}], "links": []})
    assert (found.program, found.infotext) == ("ComfyUI", "")
    assert "only the graph as it was drawn on screen" in found.notes[0]
    assert "No sampler" in png(prompt={"1": node("LoadImage", image="x.png")}).notes[0]


def deep(levels):
    return '{"1": {"class_type": "KSampler", "inputs": ' + '{"a": ' * levels + "1" + "}" * levels + "}}"


def ring(length):
    """Samplers that each begin with what the next one draws, in a circle, and texts that are made of one another."""
    samplers = {
        str(at): node(
            "KSampler", latent_image=[str((at + 1) % length), 0], positive=["a", 0], negative=["b", 0], model=["m", 0]
        )
        for at in range(length)
    }
    return {
        **samplers,
        "a": node("CLIPTextEncode", text=["b", 0]),
        "b": node("CLIPTextEncode", text=["a", 0], conditioning=["b", 0]),
        "m": node("LoraLoader", model=["m", 0], lora_name=["m", 0], strength_model=["m", 0]),
        "s": node("SaveImage", images=["0", 0]),
    }  # fmt: skip


HOSTILE = {
    "a circle of one": {"1": node("KSampler", latent_image=["1", 0], model=["1", 0], positive=["1", 0], seed=["1", 0])},
    "a circle": ring(400),
    "too deep": "{" * 100_000,
    "deep where it is read": deep(200),
    "no nodes": {"1": 5, "2": [], "3": {"class_type": 4, "inputs": {}}, "4": {"class_type": "x"}},
    "very many": {str(at): node("CLIPTextEncode", text="x", clip=[str(at + 1), 0]) for at in range(20_000)},
    "strange values": {
        "1": node("KSampler", seed=1e400, steps="x", cfg={}, sampler_name=[1, 2], positive=["9", 0], latent=["2", 0]),
        "2": node("EmptyLatentImage", width=-4, height=True),
    },
    "not JSON at all": "a cat",
}  # fmt: skip


@pytest.mark.parametrize("key", ["prompt", "workflow", "invokeai_metadata", "sd_metadata", "parameters", "Dream"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_end_in_words(name, key):
    found = png(**{key: HOSTILE[name]})
    assert len(found.infotext) <= MAX_TEXT
    assert all(note.endswith(".") for note in found.notes)
    to_request(parse(found.infotext), GenerationRequest())


INVOKE = {
    "generation_mode": "sdxl_txt2img",
    "positive_prompt": "a lighthouse",
    "negative_prompt": "fog",
    "width": 1152,
    "height": 896,
    "seed": 3511274,
    "cfg_scale": 6.5,
    "cfg_rescale_multiplier": 0.0,
    "steps": 30,
    "scheduler": "dpmpp_2m_sde_k",
    "clip_skip": 1,
    "model": {"key": "a1", "hash": "blake3:12", "name": "juggernaut xl", "base": "sdxl", "type": "main"},
    "loras": [{"model": {"key": "b", "name": "film grain", "type": "lora"}, "weight": 0.6}],
    "positive_style_prompt": "",
    "controlnets": [{"control_model": {"name": "canny"}}],
    "app_version": "5.6.0",
}


def test_invokeai_since_its_third_version():
    found = png(invokeai_metadata=INVOKE, invokeai_graph={"nodes": {}})
    request = asked(found)
    assert facts(request) == (
        "a lighthouse <lora:film grain:0.6>", "fog", 30, "DPM++ 2M SDE", "Karras", 6.5, 3511274, (1152, 896),
        "juggernaut xl",
    )  # fmt: skip
    assert request.prompt.clip_skip == 2
    assert found.program == "InvokeAI"
    assert found.notes == ("Its ControlNet units cannot be taken over.",)


def test_invokeai_of_earlier_shapes():
    three = {**INVOKE, "model": {"model_name": "old one", "base_model": "sd-1"}, "scheduler": "euler_a", "loras": []}
    assert facts(asked(png(invokeai_metadata=three)))[3:] == (
        "Euler a", None, 6.5, 3511274, (1152, 896), "old one",
    )  # fmt: skip
    two = {
        "model": "stable diffusion", "model_weights": "dreamlike", "model_hash": "12ab", "app_id": "invoke-ai/InvokeAI",
        "app_version": "2.3.5",
        "image": {
            "prompt": [{"prompt": "a red barn [ugly, old] at dusk", "weight": 1}], "steps": 40, "cfg_scale": 7.5,
            "threshold": 0, "perlin": 0, "height": 640, "width": 512, "seed": 9, "type": "txt2img",
            "sampler": "k_dpmpp_2m",
        },
    }  # fmt: skip
    wanted = ("a red barn at dusk", "ugly, old", 40, "DPM++ 2M", None, 7.5, 9, (512, 640), "dreamlike")
    assert facts(asked(png(sd_metadata=two))) == wanted
    line = '"a red barn [ugly, old] at dusk" -s 40 -S 9 -W 512 -H 640 -C 7.5 -A k_dpmpp_2m'
    assert facts(asked(png(Dream=line)))[:8] == wanted[:8]
    assert png(Dream='"no end').infotext == ""


FOOOCUS = {
    "adm_guidance": "(1.5, 0.8, 0.3)",
    "base_model": "juggernautXL_v8Rundiffusion",
    "base_model_hash": "aeb7e9e689",
    "clip_skip": 2,
    "guidance_scale": 4,
    "loras": [["sd_xl_offset_example-lora_1.0", 0.1, "4852686128"]],
    "metadata_scheme": "fooocus",
    "negative_prompt": "blurry",
    "performance": "Speed",
    "prompt": "a market",
    "refiner_model": "None",
    "refiner_switch": 0.5,
    "resolution": "(896, 1152)",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "8031239287125186811",
    "sharpness": 2,
    "styles": "['Fooocus V2', 'Fooocus Sharp']",
    "vae": "Default (model)",
    "version": "Fooocus v2.5.5",
}


def test_fooocus_in_its_own_form():
    found = png(parameters=FOOOCUS, fooocus_scheme="fooocus")
    request = asked(found)
    assert facts(request) == (
        "a market <lora:sd_xl_offset_example-lora_1.0:0.1>", "blurry", 30, "DPM++ 2M SDE", "Karras", 4,
        8031239287125186811, (896, 1152), "juggernautXL_v8Rundiffusion",
    )  # fmt: skip
    assert request.prompt.clip_skip == 2
    assert request.refiner.checkpoint is None
    assert (found.program, len(found.notes)) == ("Fooocus", 3)


def test_fooocus_in_jpeg():
    older = {key: value for key, value in FOOOCUS.items() if key != "loras"}
    older["lora_combined_1"] = "grain.safetensors : 0.25"
    exif = Image.Exif()
    exif[0x9286] = json.dumps(older)
    exif[0x927C] = "fooocus"
    out = io.BytesIO()
    image().save(out, "JPEG", exif=exif)
    assert asked(read_metadata(out.getvalue())).prompt.text == "a market <lora:grain:0.25>"


def test_json_that_is_no_metadata_stays_what_it_was():
    assert png(parameters='{"a": 1}').infotext == '{"a": 1}'
    assert png(prompt="a cat").infotext == ""


@pytest.mark.parametrize(
    ("ending", "program"),
    [
        ("Version: v1.10.1", "A1111"),
        ("Version: f2.0.1v1.10.1-previous-664-gd557aef9", "Forge"),
        ("Version: neo", "Forge"),
        ("App: SD.Next, Version: 058a7f0", "SD.Next"),
        ("Version: ComfyUI", "ComfyUI"),
        ("Version: Fooocus v2.5.5", "Fooocus"),
        ("Version: atelier-0.1.0", "Atelier"),
        ("Model: x", ""),
    ],
)
def test_the_maker_is_known_by_its_mark(ending, program):
    assert maker(f"a cat\nSteps: 20, Sampler: Euler, Seed: 1, {ending}") == program
