"""The classes that model parts are made of, and how one is put together from a config and named tensors.

Classes come from a table, each from its own module of diffusers or transformers: a name in a model's files is looked up
here and never imported. Models are built on torch's meta device, which is local to the thread; the libraries' own
`from_pretrained` patches `torch.nn` for the whole process while it runs, which would harm lanes that draw meanwhile.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from modules.contracts.errors import BrokenModel

CLASSES = {
    "UNet2DConditionModel": "diffusers.models.unets.unet_2d_condition",
    "SD3Transformer2DModel": "diffusers.models.transformers.transformer_sd3",
    "FluxTransformer2DModel": "diffusers.models.transformers.transformer_flux",
    "ChromaTransformer2DModel": "diffusers.models.transformers.transformer_chroma",
    "PixArtTransformer2DModel": "diffusers.models.transformers.pixart_transformer_2d",
    "ZImageTransformer2DModel": "diffusers.models.transformers.transformer_z_image",
    "Lumina2Transformer2DModel": "diffusers.models.transformers.transformer_lumina2",
    "HunyuanDiT2DModel": "diffusers.models.transformers.hunyuan_transformer_2d",
    "Flux2Transformer2DModel": "diffusers.models.transformers.transformer_flux2",
    "Kandinsky5Transformer3DModel": "diffusers.models.transformers.transformer_kandinsky",
    "AuraFlowTransformer2DModel": "diffusers.models.transformers.auraflow_transformer_2d",
    "SanaTransformer2DModel": "diffusers.models.transformers.sana_transformer",
    "StableCascadeUNet": "diffusers.models.unets.unet_stable_cascade",
    "QwenImageTransformer2DModel": "diffusers.models.transformers.transformer_qwenimage",
    "WanTransformer3DModel": "diffusers.models.transformers.transformer_wan",
    "LTXVideoTransformer3DModel": "diffusers.models.transformers.transformer_ltx",
    "ControlNetModel": "diffusers.models.controlnets.controlnet",
    "ControlNetUnionModel": "diffusers.models.controlnets.controlnet_union",
    "ControlNetXSAdapter": "diffusers.models.controlnets.controlnet_xs",
    "SD3ControlNetModel": "diffusers.models.controlnets.controlnet_sd3",
    "FluxControlNetModel": "diffusers.models.controlnets.controlnet_flux",
    "QwenImageControlNetModel": "diffusers.models.controlnets.controlnet_qwenimage",
    "T2IAdapter": "diffusers.models.adapter",
    "ReduxImageEncoder": "diffusers.pipelines.flux.modeling_flux",
    "AutoencoderKL": "diffusers.models.autoencoders.autoencoder_kl",
    "AutoencoderKLQwenImage": "diffusers.models.autoencoders.autoencoder_kl_qwenimage",
    "AutoencoderKLWan": "diffusers.models.autoencoders.autoencoder_kl_wan",
    "AutoencoderKLLTXVideo": "diffusers.models.autoencoders.autoencoder_kl_ltx",
    "AutoencoderKLFlux2": "diffusers.models.autoencoders.autoencoder_kl_flux2",
    "AutoencoderDC": "diffusers.models.autoencoders.autoencoder_dc",
    "PaellaVQModel": "diffusers.pipelines.deprecated.wuerstchen.modeling_paella_vq_model",
    "AutoencoderTiny": "diffusers.models.autoencoders.autoencoder_tiny",
    "CLIPTextModel": "transformers.models.clip.modeling_clip",
    "CLIPVisionModel": "transformers.models.clip.modeling_clip",
    "CLIPVisionModelWithProjection": "transformers.models.clip.modeling_clip",
    "SiglipVisionModel": "transformers.models.siglip.modeling_siglip",
    "CLIPTextModelWithProjection": "transformers.models.clip.modeling_clip",
    "T5EncoderModel": "transformers.models.t5.modeling_t5",
    "UMT5EncoderModel": "transformers.models.umt5.modeling_umt5",
    "BertModel": "transformers.models.bert.modeling_bert",
    "BertTokenizer": "transformers.models.bert.tokenization_bert",
    "LlamaTokenizer": "transformers.models.llama.tokenization_llama",
    "YolosForObjectDetection": "transformers.models.yolos.modeling_yolos",
    "DetrForObjectDetection": "transformers.models.detr.modeling_detr",
    "SegformerForSemanticSegmentation": "transformers.models.segformer.modeling_segformer",
    "UperNetForSemanticSegmentation": "transformers.models.upernet.modeling_upernet",
    "VitPoseForPoseEstimation": "transformers.models.vitpose.modeling_vitpose",
    "DPTForDepthEstimation": "transformers.models.dpt.modeling_dpt",
    "ZoeDepthForDepthEstimation": "transformers.models.zoedepth.modeling_zoedepth",
    "DepthAnythingForDepthEstimation": "transformers.models.depth_anything.modeling_depth_anything",
    "CLIPTokenizer": "transformers.models.clip.tokenization_clip",
    "T5Tokenizer": "transformers.models.t5.tokenization_t5",
    "Qwen3Model": "transformers.models.qwen3.modeling_qwen3",
    "Qwen2_5_VLModel": "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "Gemma2Model": "transformers.models.gemma2.modeling_gemma2",
    "MistralModel": "transformers.models.mistral.modeling_mistral",
    "ChatGLMModel": "diffusers.pipelines.kolors.text_encoder",
    "ChatGLMTokenizer": "diffusers.pipelines.kolors.tokenizer",
    "TokenizersBackend": "transformers.tokenization_utils_tokenizers",
    "GemmaTokenizer": "transformers.models.gemma.tokenization_gemma",
    "Qwen2Tokenizer": "transformers.models.qwen2.tokenization_qwen2",
}
SAME = {
    "CLIPTokenizerFast": "CLIPTokenizer",
    "T5TokenizerFast": "T5Tokenizer",
    "BertTokenizerFast": "BertTokenizer",
    "LlamaTokenizerFast": "LlamaTokenizer",
    "Qwen2TokenizerFast": "Qwen2Tokenizer",
    "Qwen3ForCausalLM": "Qwen3Model",
    "Qwen2_5_VLForConditionalGeneration": "Qwen2_5_VLModel",
    "GemmaTokenizerFast": "GemmaTokenizer",
    "Qwen2VLProcessor": "Qwen2Tokenizer",
    "Qwen2_5_VLProcessor": "Qwen2Tokenizer",
    "Gemma2ForCausalLM": "Gemma2Model",
    "Mistral3ForConditionalGeneration": "MistralModel",
    "PixtralProcessor": "TokenizersBackend",
    "PreTrainedTokenizerFast": "TokenizersBackend",
}
"""Names that other files use for what is one class here: of older versions, or with a head or eyes that no denoiser
asks."""
LEVELS = ("text_model.", "vision_model.", "model.", "language_model.", "model.", "bert.")
"""What stands before an encoder's names in some versions, the outermost first."""
LAST = {"MistralModel": "norm"}
"""The end of a language model that may be missing from a file that was cut to the layers somebody reads."""
EMPTY = {"ChatGLMModel": {"empty_init": False}}
"""What classes are told that would make room for their weights elsewhere than on the device in force."""
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""How diffusers named the attention of autoencoders before 0.12."""


def find_class(name: str) -> Any:
    """The class of that name. Raises `BrokenModel` for a class that is not in the table."""
    name = SAME.get(name, name)
    if name in CLASSES:
        return getattr(importlib.import_module(CLASSES[name]), name)
    raise BrokenModel(f"the class {name!r} is not known; known are {', '.join(sorted(CLASSES))}")


def find_scheduler(name: str) -> Any:
    """The diffusers scheduler class of that name. Raises `BrokenModel` for anything else."""
    schedulers = importlib.import_module("diffusers.schedulers")
    mixin = importlib.import_module("diffusers.schedulers.scheduling_utils").SchedulerMixin
    kind = getattr(schedulers, name, None) if name.isidentifier() else None
    if isinstance(kind, type) and issubclass(kind, mixin):
        return kind
    raise BrokenModel(f"{name!r} is no scheduler of diffusers")


def is_transformers(kind: Any) -> bool:
    """Whether a class of the table is built as those of transformers rather than as those of diffusers."""
    return str(kind.__module__).startswith("transformers.") or kind.__name__ in EMPTY


def build_empty(kind: Any, config: Any) -> Any:
    """A model of that class whose weights are on the meta device. `config` is a dict, or transformers' own object.

    What a model computes for itself and no file holds, such as the angles of its positions, is there, on the CPU.
    """

    def build() -> Any:
        return kind(config, **EMPTY.get(kind.__name__, {})) if is_transformers(kind) else kind.from_config(config)

    with torch.device("meta"):
        model = build()
    if any(tensor.is_meta for _, _, value in _computed(model) for tensor in _each(value)):
        with _WeightsAway():
            twin = dict(build().named_modules())
        for path, name, _ in list(_computed(model)):
            setattr(model.get_submodule(path), name, getattr(twin[path], name))
    return model


class _WeightsAway(TorchFunctionMode):
    """Room for weights is made on the meta device, everything else is computed on the CPU; local to the thread."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        away = {"device": "meta"} if func in (torch.empty, torch.randn, torch.rand) else {}
        return func(*args, **{**(kwargs or {}), **away})


def _computed(model: Any) -> Iterator[tuple[str, str, Any]]:
    """Path, name and value of buffers that are in no file, and of tensors and lists of them that are no buffers; the
    positions of text encoders are counted elsewhere."""
    for path, module in model.named_modules():
        for name, value in list(vars(module).items()):
            found = value if isinstance(value, list) else [value]
            if found and all(isinstance(item, torch.Tensor) for item in found):
                yield path, name, value
        for name in sorted(module._non_persistent_buffers_set):
            value = getattr(module, name)
            if isinstance(value, torch.Tensor) and name != "position_ids":
                yield path, name, value


def _each(value: Any) -> list[torch.Tensor]:
    return value if isinstance(value, list) else [value]


def read_config(kind: Any, folder: Path) -> Any:
    """The config of a part from its folder, in the form that `build_empty` wants."""
    if is_transformers(kind):
        return kind.config_class.from_pretrained(folder, local_files_only=True)
    return kind.load_config(folder, local_files_only=True)


def match_names(model: Any, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors under the names that `model` uses, whatever version of the libraries wrote them.

    Names that the model has no place for are dropped, except that nothing is guessed: a missing one stays missing.
    """
    wanted = model.state_dict()
    given = {_plain(name): tensor for name, tensor in tensors.items()}
    return {name: given[_plain(name)] for name in wanted if _plain(name) in given}


def _plain(name: str) -> str:
    """A name without what differs between versions: levels such as `text_model.` and `model.`, old attention names."""
    for level in LEVELS:
        name = name.removeprefix(level)
    head, dot, tail = name.rpartition(".")
    parent, middle, last = head.rpartition(".")
    if last in OLD_ATTENTION and parent.endswith("attentions.0"):
        return f"{parent}{middle}{OLD_ATTENTION[last]}{dot}{tail}"
    return f"{head}{dot}{tail}"


def fill(model: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Give the tensors to the empty model, in eval mode and without gradients, and return it.

    Raises `BrokenModel` when a weight is missing or has another shape than the config says.
    """
    wanted = model.state_dict()
    found = match_names(model, tensors)
    for tied, source in (getattr(model, "_tied_weights_keys", None) or {}).items():
        if tied not in found and source in found:
            found[tied] = found[source]
        elif source not in found and tied in found:
            found[source] = found[tied]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise BrokenModel(f"{len(missing)} of {len(wanted)} weights are missing, the first is {missing[0]}")
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise BrokenModel(
                f"the weight {name} has the shape {list(tensor.shape)}, its config says {list(wanted[name].shape)}"
            )
    model.load_state_dict(found, strict=True, assign=True)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    _count_positions(model)
    device = next(model.parameters()).device
    for path, name, value in list(_computed(model)):
        moved = [tensor.to(device) for tensor in _each(value)]
        setattr(model.get_submodule(path), name, moved if isinstance(value, list) else moved[0])
    left = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if tensor.is_meta]
    if left:
        raise BrokenModel(f"nothing in the file fills {left[0]}")
    return model.eval().requires_grad_(False)


def _count_positions(model: Any) -> None:
    """Fill the `position_ids` of text encoders: they count from 0 and are in no file."""
    device = next(model.parameters()).device
    for module in model.modules():
        ids = getattr(module, "position_ids", None)
        if isinstance(ids, torch.Tensor) and ids.is_meta:
            module.position_ids = torch.arange(ids.shape[-1], device=device).expand(ids.shape)


def cut_end(model: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The empty model without the end that `tensors` lack, where it may: what its last layer says is its answer."""
    end = LAST.get(type(model).__name__)
    if end is not None and f"{end}.weight" not in match_names(model, tensors):
        setattr(model, end, torch.nn.Identity())
    return model


def size_of(components: Mapping[str, Any]) -> int:
    """Bytes of all weights and buffers; what two names share counts once."""
    seen: dict[int, int] = {}
    for part in components.values():
        if isinstance(part, torch.nn.Module):
            for tensor in (*part.parameters(), *part.buffers()):
                seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    return sum(seen.values())
