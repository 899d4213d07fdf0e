"""Tables: how the weights of each family's transformer are named by their original code and by diffusers.

Patterns are matched against names without `.weight`, `.bias` or `.scale`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One translation. Several targets cut the tensor: each takes the inner width, the last one the rest."""

    original: str
    targets: tuple[str, ...]
    swapped: bool = False
    """The halves change places: the original gives shift and scale, diffusers wants scale and shift."""
    grouped: bool = False
    """Several queries share a key: of three targets the first takes the inner width, and the others share the rest."""


def _double(original: str, *targets: str) -> Row:
    prefix = r"transformer_blocks.\1."
    return Row(rf"double_blocks\.(\d+)\.{original}", tuple(prefix + target for target in targets))


def _single(original: str, *targets: str) -> Row:
    prefix = r"single_transformer_blocks.\1."
    return Row(rf"single_blocks\.(\d+)\.{original}", tuple(prefix + target for target in targets))


def _joint(original: str, *targets: str) -> Row:
    prefix = r"transformer_blocks.\1."
    return Row(rf"joint_blocks\.(\d+)\.{original}", tuple(prefix + target for target in targets))


def _block(original: str, *targets: str) -> Row:
    prefix = r"transformer_blocks.\1."
    return Row(rf"blocks\.(\d+)\.{original}", tuple(prefix + target for target in targets))


FLUX: tuple[Row, ...] = (
    Row(r"time_in\.in_layer", ("time_text_embed.timestep_embedder.linear_1",)),
    Row(r"time_in\.out_layer", ("time_text_embed.timestep_embedder.linear_2",)),
    Row(r"vector_in\.in_layer", ("time_text_embed.text_embedder.linear_1",)),
    Row(r"vector_in\.out_layer", ("time_text_embed.text_embedder.linear_2",)),
    Row(r"guidance_in\.in_layer", ("time_text_embed.guidance_embedder.linear_1",)),
    Row(r"guidance_in\.out_layer", ("time_text_embed.guidance_embedder.linear_2",)),
    Row(r"img_in", ("x_embedder",)),
    Row(r"txt_in", ("context_embedder",)),
    Row(r"final_layer\.linear", ("proj_out",)),
    Row(r"final_layer\.adaLN_modulation\.1", ("norm_out.linear",), swapped=True),
    _double(r"img_mod\.lin", "norm1.linear"),
    _double(r"txt_mod\.lin", "norm1_context.linear"),
    _double(r"img_attn\.qkv", "attn.to_q", "attn.to_k", "attn.to_v"),
    _double(r"txt_attn\.qkv", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    _double(r"img_attn\.proj", "attn.to_out.0"),
    _double(r"txt_attn\.proj", "attn.to_add_out"),
    _double(r"img_attn\.norm\.query_norm", "attn.norm_q"),
    _double(r"img_attn\.norm\.key_norm", "attn.norm_k"),
    _double(r"txt_attn\.norm\.query_norm", "attn.norm_added_q"),
    _double(r"txt_attn\.norm\.key_norm", "attn.norm_added_k"),
    _double(r"img_mlp\.0", "ff.net.0.proj"),
    _double(r"img_mlp\.2", "ff.net.2"),
    _double(r"txt_mlp\.0", "ff_context.net.0.proj"),
    _double(r"txt_mlp\.2", "ff_context.net.2"),
    _single(r"modulation\.lin", "norm.linear"),
    _single(r"norm\.query_norm", "attn.norm_q"),
    _single(r"norm\.key_norm", "attn.norm_k"),
    _single(r"linear1", "attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    _single(r"linear2", "proj_out"),
)

_APPROXIMATOR = r"distilled_guidance_layer\."
CHROMA: tuple[Row, ...] = (
    *FLUX,
    Row(_APPROXIMATOR + r"(in_proj|out_proj|norms\.\d+)", (r"distilled_guidance_layer.\1",)),
    Row(_APPROXIMATOR + r"layers\.(\d+)\.in_layer", (r"distilled_guidance_layer.layers.\1.linear_1",)),
    Row(_APPROXIMATOR + r"layers\.(\d+)\.out_layer", (r"distilled_guidance_layer.layers.\1.linear_2",)),
)
"""Chroma is Flux with a network in place of all modulations."""

SD3: tuple[Row, ...] = (
    Row(r"x_embedder\.proj", ("pos_embed.proj",)),
    Row(r"pos_embed", ("pos_embed.pos_embed",)),
    Row(r"t_embedder\.mlp\.0", ("time_text_embed.timestep_embedder.linear_1",)),
    Row(r"t_embedder\.mlp\.2", ("time_text_embed.timestep_embedder.linear_2",)),
    Row(r"y_embedder\.mlp\.0", ("time_text_embed.text_embedder.linear_1",)),
    Row(r"y_embedder\.mlp\.2", ("time_text_embed.text_embedder.linear_2",)),
    Row(r"context_embedder", ("context_embedder",)),
    Row(r"final_layer\.linear", ("proj_out",)),
    Row(r"final_layer\.adaLN_modulation\.1", ("norm_out.linear",), swapped=True),
    _joint(r"x_block\.attn\.qkv", "attn.to_q", "attn.to_k", "attn.to_v"),
    _joint(r"x_block\.attn2\.qkv", "attn2.to_q", "attn2.to_k", "attn2.to_v"),
    _joint(r"context_block\.attn\.qkv", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    _joint(r"x_block\.attn(2?)\.ln_(q|k)", r"attn\2.norm_\3"),
    _joint(r"context_block\.attn\.ln_(q|k)", r"attn.norm_added_\2"),
    _joint(r"x_block\.attn(2?)\.proj", r"attn\2.to_out.0"),
    _joint(r"context_block\.attn\.proj", "attn.to_add_out"),
    _joint(r"x_block\.adaLN_modulation\.1", "norm1.linear"),
    _joint(r"context_block\.adaLN_modulation\.1", "norm1_context.linear"),
    _joint(r"x_block\.mlp\.fc1", "ff.net.0.proj"),
    _joint(r"x_block\.mlp\.fc2", "ff.net.2"),
    _joint(r"context_block\.mlp\.fc1", "ff_context.net.0.proj"),
    _joint(r"context_block\.mlp\.fc2", "ff_context.net.2"),
)

PIXART: tuple[Row, ...] = (
    Row(r"x_embedder\.proj", ("pos_embed.proj",)),
    Row(r"y_embedder\.y_proj\.fc(1|2)", (r"caption_projection.linear_\1",)),
    Row(r"t_embedder\.mlp\.0", ("adaln_single.emb.timestep_embedder.linear_1",)),
    Row(r"t_embedder\.mlp\.2", ("adaln_single.emb.timestep_embedder.linear_2",)),
    Row(r"t_block\.1", ("adaln_single.linear",)),
    Row(r"final_layer\.linear", ("proj_out",)),
    Row(r"final_layer\.scale_shift_table", ("scale_shift_table",)),
    _block(r"scale_shift_table", "scale_shift_table"),
    _block(r"attn\.qkv", "attn1.to_q", "attn1.to_k", "attn1.to_v"),
    _block(r"attn\.proj", "attn1.to_out.0"),
    _block(r"cross_attn\.q_linear", "attn2.to_q"),
    _block(r"cross_attn\.kv_linear", "attn2.to_k", "attn2.to_v"),
    _block(r"cross_attn\.proj", "attn2.to_out.0"),
    _block(r"mlp\.fc1", "ff.net.0.proj"),
    _block(r"mlp\.fc2", "ff.net.2"),
)

SANA: tuple[Row, ...] = (
    Row(r"x_embedder\.proj", ("patch_embed.proj",)),
    Row(r"y_embedder\.y_proj\.fc(1|2)", (r"caption_projection.linear_\1",)),
    Row(r"attention_y_norm", ("caption_norm",)),
    Row(r"t_embedder\.mlp\.0", ("time_embed.emb.timestep_embedder.linear_1",)),
    Row(r"t_embedder\.mlp\.2", ("time_embed.emb.timestep_embedder.linear_2",)),
    Row(r"t_block\.1", ("time_embed.linear",)),
    *(
        row
        for row in PIXART
        if row.original.startswith(("final_layer", r"blocks\.(\d+)\.")) and "fc" not in row.original
    ),
    _block(r"attn\.(q|k)_norm", r"attn1.norm_\2"),
    _block(r"cross_attn\.(q|k)_norm", r"attn2.norm_\2"),
    _block(r"mlp\.inverted_conv\.conv", "ff.conv_inverted"),
    _block(r"mlp\.depth_conv\.conv", "ff.conv_depth"),
    _block(r"mlp\.point_conv\.conv", "ff.conv_point"),
)
"""Sana is PixArt with convolutions in its feed-forward."""


def _refined(original: str, *targets: str, of: str = "layers|noise_refiner|context_refiner", **more: bool) -> Row:
    return Row(rf"({of})\.(\d+)\.{original}", tuple(rf"\1.\2.{target}" for target in targets), **more)


LUMINA2: tuple[Row, ...] = (
    Row(r"x_embedder", ("x_embedder",)),
    Row(r"cap_embedder\.(0|1)", (r"time_caption_embed.caption_embedder.\1",)),
    Row(r"t_embedder\.mlp\.0", ("time_caption_embed.timestep_embedder.linear_1",)),
    Row(r"t_embedder\.mlp\.2", ("time_caption_embed.timestep_embedder.linear_2",)),
    Row(r"final_layer\.adaLN_modulation\.1", ("norm_out.linear_1",)),
    Row(r"final_layer\.linear", ("norm_out.linear_2",)),
    _refined(r"attention\.qkv", "attn.to_q", "attn.to_k", "attn.to_v", grouped=True),
    _refined(r"attention\.out", "attn.to_out.0"),
    _refined(r"attention\.(q|k)_norm", r"attn.norm_\3"),
    _refined(r"feed_forward\.w(1|2|3)", r"feed_forward.linear_\3"),
    _refined(r"ffn_norm(1|2)", r"ffn_norm\3"),
    _refined(r"adaLN_modulation\.1", "norm1.linear"),
    _refined(r"attention_norm1", "norm1.norm", of="layers|noise_refiner"),
    _refined(r"attention_norm1", "norm1", of="context_refiner"),
    _refined(r"attention_norm2", "norm2"),
)


def _same_block(original: str, *targets: str) -> Row:
    return Row(rf"blocks\.(\d+)\.{original}", tuple(rf"blocks.\1.{target}" for target in targets))


_EXTRA = "time_extra_emb."
HUNYUAN: tuple[Row, ...] = (
    Row(r"text_embedding_padding", ("text_embedding_padding",)),
    Row(r"x_embedder\.proj", ("pos_embed.proj",)),
    Row(r"mlp_t5\.0", ("text_embedder.linear_1",)),
    Row(r"mlp_t5\.2", ("text_embedder.linear_2",)),
    Row(r"t_embedder\.mlp\.0", (_EXTRA + "timestep_embedder.linear_1",)),
    Row(r"t_embedder\.mlp\.2", (_EXTRA + "timestep_embedder.linear_2",)),
    Row(r"extra_embedder\.0", (_EXTRA + "extra_embedder.linear_1",)),
    Row(r"extra_embedder\.2", (_EXTRA + "extra_embedder.linear_2",)),
    Row(r"style_embedder", (_EXTRA + "style_embedder",)),
    Row(r"pooler\.(positional_embedding|[kqvc]_proj)", (_EXTRA + r"pooler.\1",)),
    Row(r"final_layer\.linear", ("proj_out",)),
    Row(r"final_layer\.adaLN_modulation\.1", ("norm_out.linear",), swapped=True),
    _same_block(r"default_modulation\.1", "norm1.linear"),
    _same_block(r"norm1", "norm1.norm"),
    _same_block(r"norm2", "norm3"),
    _same_block(r"norm3", "norm2"),
    _same_block(r"attn1\.Wqkv", "attn1.to_q", "attn1.to_k", "attn1.to_v"),
    _same_block(r"attn2\.q_proj", "attn2.to_q"),
    _same_block(r"attn2\.kv_proj", "attn2.to_k", "attn2.to_v"),
    _same_block(r"attn(1|2)\.(q|k)_norm", r"attn\2.norm_\3"),
    _same_block(r"attn(1|2)\.out_proj", r"attn\2.to_out.0"),
    _same_block(r"mlp\.fc1", "ff.net.0.proj"),
    _same_block(r"mlp\.fc2", "ff.net.2"),
    _same_block(r"skip_(linear|norm)", r"skip_\2"),
)
