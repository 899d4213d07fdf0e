"""Loading an autoencoder from a file or folder: `.safetensors` in LDM or diffusers form, and diffusers folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.contracts.catalog import FileEntry
from modules.contracts.errors import BrokenModel, InvalidRequest, UnknownModel, reason_of
from modules.sd_vae import shape
from modules.sd_vae.codec import latent_channels
from modules.support.latent_shape import channels_of, is_for_films

PICKLES = (".ckpt", ".pt", ".pth", ".bin")
SCALE_KEYS = ("scaling_factor", "shift_factor", "latents_mean", "latents_std", "force_upcast", "sample_size")
"""What only a config knows; taken from the reference when a file comes without its own."""
GROUPS_KEY = "norm_num_groups"
_NAMES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")


def load_vae(
    entry: FileEntry, dtype: Any, device: str, reference_config: Mapping[str, Any] | Path | None = None
) -> Any:
    """The autoencoder of `entry`, in `dtype` (a torch dtype or its name) on `device`, ready to compute.

    `reference_config` is the config of the model's own VAE (a mapping, or a folder or file with `config.json`): it
    gives the latents' scale to files that carry none, and the number of channels that the model needs. Raises
    `UnknownModel` when there is nothing at the path, `BrokenModel` for pickles, truncated files and files that are no
    autoencoder, `InvalidRequest` when the number of latent channels does not fit the model.
    """
    import torch

    reference = _config(reference_config)
    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    if entry.problem:
        raise BrokenModel(entry.problem)
    if not entry.path.exists():
        raise UnknownModel(f"The VAE {entry.name!r} is not there any more: {entry.path.name} is missing.")
    vae = _load_folder(entry) if entry.path.is_dir() else _load_file(entry, reference)
    wanted, found = channels_of(reference), latent_channels(vae)
    if wanted is not None and found != wanted:
        raise InvalidRequest(f"The VAE {entry.name!r} has {found} latent channels; this model needs one with {wanted}.")
    if is_for_films(reference) != is_for_films(vae.config) and reference:
        raise InvalidRequest(f"The VAE {entry.name!r} is for latents of another kind than this model's.")
    # torch's own `to`: that of diffusers warns of precisions that were asked for here on purpose.
    return torch.nn.Module.to(vae, device=device, dtype=kind).eval().requires_grad_(False)


def reference_key(config: Mapping[str, Any]) -> tuple[str, ...]:
    """What of a reference config decides how a file is loaded; equal keys give equal autoencoders."""
    return tuple(repr(config.get(name)) for name in ("latent_channels", *SCALE_KEYS, GROUPS_KEY))


def _config(source: Mapping[str, Any] | Path | None) -> dict[str, Any]:
    if source is None:
        return {}
    if isinstance(source, Path):
        file = source / "config.json" if source.is_dir() else source
        return dict(json.loads(file.read_text("utf-8")))
    return dict(source)


def _refuse_pickle(entry: FileEntry, path: Path) -> None:
    if path.suffix.lower() in PICKLES:
        raise BrokenModel(
            f"{path.name} is a pickled file, which could run any program when opened; "
            f"convert it with: python launch.py models convert {path.name}"
        )


def _load_folder(entry: FileEntry) -> Any:
    """A diffusers folder, the fp16 variant included."""
    import diffusers

    try:
        config = _config(entry.path)
    except (OSError, ValueError) as error:
        raise BrokenModel(f"The VAE folder {entry.name!r} has no readable config.json ({reason_of(error)}).") from error
    name = str(config.get("_class_name", "AutoencoderKL"))
    if not name.startswith("Autoencoder") or not hasattr(diffusers, name):
        raise BrokenModel(f"The folder {entry.name!r} holds a {name}; a VAE is AutoencoderKL or AutoencoderTiny.")
    weights = next((entry.path / one for one in _NAMES if (entry.path / one).is_file()), None)
    index = entry.path / (_NAMES[0] + ".index.json")
    if weights is None and not index.is_file():
        for path in sorted(entry.path.iterdir()):
            _refuse_pickle(entry, path)
        raise BrokenModel(f"The VAE folder {entry.name!r} has no weights; {_NAMES[0]} is expected.")
    vae = getattr(diffusers, name).from_config(config)
    if weights is None:
        return getattr(diffusers, name).from_pretrained(entry.path, use_safetensors=True, local_files_only=True)
    return _filled(vae, _modern(_tensors(weights)), entry)


def _load_file(entry: FileEntry, reference: Mapping[str, Any]) -> Any:
    import diffusers

    _refuse_pickle(entry, entry.path)
    if entry.path.suffix.lower() != ".safetensors":
        raise BrokenModel(f"{entry.path.name} is not a VAE file; .safetensors and diffusers folders are read.")
    shapes = read_shapes(entry.path)
    prefix, inner = shape.bare(shapes)
    form = shape.layout(inner)
    if form is None or form == "taesd" or ("encoder.conv_in.weight" not in inner and form != "tiny"):
        raise BrokenModel(f"{entry.path.name} is not an autoencoder: its encoder or decoder is missing.")
    tensors = {
        name.removeprefix(prefix): tensor for name, tensor in _tensors(entry.path).items() if name.startswith(prefix)
    }
    if form == "tiny":
        return _filled(diffusers.AutoencoderTiny(**shape.tiny_config(inner)), tensors, entry)
    ldm = form == "ldm"
    config = shape.kl_config(inner, ldm)
    fits = reference.get("latent_channels", config["latent_channels"]) == config["latent_channels"]
    if fits:
        config |= {key: reference[key] for key in (*SCALE_KEYS, GROUPS_KEY) if reference.get(key) is not None}
    config[GROUPS_KEY] = _groups(config)
    vae = diffusers.AutoencoderKL(**config)
    if ldm:
        from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

        tensors = convert_ldm_vae_checkpoint(tensors, config)
    return _filled(vae, _modern(tensors), entry)


def _groups(config: Mapping[str, Any]) -> int:
    """Groups of the normalisation: what the reference says, or 32, as long as it divides every width."""
    wanted = int(config.get(GROUPS_KEY, 32))
    widths = config["block_out_channels"]
    while any(width % wanted for width in widths):
        wanted //= 2
    return wanted


def _modern(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Names of the attention of diffusers before 0.18 brought up to date; its 1×1 convolutions made matrices."""
    renamed = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    fresh = {}
    for name, tensor in tensors.items():
        path, _, last = name.rpartition(".")
        head, _, layer = path.rpartition(".")
        if ".attentions." in name:
            name = f"{head}.{renamed.get(layer, layer)}.{last}"
            if tensor.ndim == 4:
                tensor = tensor[:, :, 0, 0]
        fresh[name] = tensor
    return fresh


def _filled(vae: Any, tensors: Mapping[str, Any], entry: FileEntry) -> Any:
    """Put the weights in; everything has to be there and fit. Extra tensors (training leftovers) are ignored."""
    wanted = vae.state_dict()
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise BrokenModel(f"The VAE {entry.name!r} lacks {len(missing)} of its tensors, the first is {missing[0]}.")
    for name, tensor in wanted.items():
        found, needed = tuple(tensors[name].shape), tuple(tensor.shape)
        if found != needed:
            raise BrokenModel(f"The VAE {entry.name!r} has {name} of shape {found}; {needed} is needed.")
    vae.load_state_dict({name: tensors[name] for name in wanted})
    return vae


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes from the header of a `.safetensors` file. Raises `BrokenModel` when it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BrokenModel(f"{path.name} cannot be read: {reason_of(error)}.") from error


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path, device="cpu"))
    except (SafetensorError, OSError) as error:
        raise BrokenModel(f"{path.name} cannot be read: {reason_of(error)}.") from error
