"""Whatever changes the inside of a model leaves no trace: weights, hooks and processors are as before."""

from __future__ import annotations

import contextlib
import hashlib
import random
from itertools import combinations

import pytest
import torch

from modules.contracts.features import Shrink
from modules.networks.rows import ModuleShelf
from modules.processing_diffusers.inside.deep_shrink import DeepShrink
from modules.processing_diffusers.inside.references import RowReferences, find_places
from modules.processing_diffusers.inside.rows import NO_CHANGE, RowChange, RowChanges, find_attentions, find_blocks
from modules.processing_diffusers.inside.sharing import Look
from modules.processing_diffusers.inside.speaking import RowSpeeches, Speech, find_cross_attentions
from modules.processing_diffusers.inside.thinning import HyperTiles, TokenMerging
from modules.processing_diffusers.tiling import CircularPadding

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs")


@pytest.fixture(scope="module")
def unet(tiny_sd15_folder):
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(tiny_sd15_folder / "unet").eval()


@pytest.fixture(scope="module")
def transformer(tiny_sd3_folder):
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel.from_pretrained(tiny_sd3_folder / "transformer").eval()


def trace(module):
    """Everything that a patch might leave behind."""
    digest = hashlib.sha256()
    for name, value in module.state_dict().items():
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    hooks = [(path, name, len(getattr(part, name))) for path, part in module.named_modules() for name in HOOKS]
    modes = [(path, part.padding_mode) for path, part in module.named_modules() if hasattr(part, "padding_mode")]
    own = [(path, sorted(vars(part))) for path, part in module.named_modules()]
    processors = {path: id(one) for path, one in getattr(module, "attn_processors", {}).items()}
    return digest.hexdigest(), hooks, modes, own, processors


def speak(module, rows=4):
    generator = torch.Generator().manual_seed(3)

    def noise(*shape):
        return torch.randn(rows, *shape, generator=generator)

    config = module.config
    cells = noise(config.in_channels, 16, 16)
    if hasattr(module, "up_blocks"):
        named = {"encoder_hidden_states": noise(7, config.cross_attention_dim)}
    else:
        named = {"encoder_hidden_states": noise(7, config.joint_attention_dim)}
        named["pooled_projections"] = noise(config.pooled_projection_dim)
    with torch.no_grad():
        return module(cells, timestep=torch.full((rows,), 500.0), return_dict=False, **named)[0]


def row_patch(module, *changes):
    """A patch whose samples of kind n get the n-th change; entered round a call of as many rows as there are."""
    shelf = ModuleShelf(module, denoiser=False)
    whole = RowChanges(shelf, lambda kind: changes[kind]).of_kinds(range(len(changes)))
    return whole.gathered([whole], [len(changes)])


def changes_of(module):
    """Every change of single rows that the module can have."""
    shelf = ModuleShelf(module, denoiser=False)
    if not hasattr(module, "up_blocks"):
        return {"left out": RowChange(left_out=find_blocks(shelf, "0", "SLG layers"))}
    inner, upper = find_attentions(shelf, "mid, down", "PAG layers"), find_attentions(shelf, "up", "SEG layers")
    return {
        "alone": RowChange(alone=inner),
        "blurred": RowChange(blurred=upper, blur=2.0),
        "averaged": RowChange(blurred=inner, blur=10_000.0),
        "freed": RowChange(freeu=(1.3, 1.4, 0.8, 0.2)),
        "all": RowChange(inner, upper, 1.0, (), (0.9, 1.4, 0.8, 1.2)),
    }


def looking_patch(module):
    """The first sample looks at the last one, at parts and statistics."""
    shelf = ModuleShelf(module, denoiser=False)
    whole = RowReferences(shelf, lambda: find_places(shelf), {0: [Look(3, 2.0, True, True, 0.25)]})
    return whole.gathered([whole], [4])


def speaking_patch(module):
    """A picture speaks to the first sample."""
    shelf, chance = ModuleShelf(module, denoiser=False), torch.Generator().manual_seed(1)
    widths = [shelf.layers[path].to_k.out_features for path in find_cross_attentions(shelf)]
    said = [torch.randn(4, width, generator=chance) for width in widths for _ in range(2)]
    whole = RowSpeeches(shelf, {0: [Speech(said, [1.0] * len(widths))]})
    return whole.gathered([whole], [4])


def patches_of(module):
    """Ways to enter each patch, for a call of four rows."""
    rows = {
        name: lambda change=change: row_patch(module, NO_CHANGE, change, NO_CHANGE, change)
        for name, change in changes_of(module).items()
    }
    whole = {"circular": CircularPadding(), "merged": TokenMerging(0.5), "tiled": HyperTiles(64, 1)}
    whole["shrunk"] = DeepShrink(Shrink(2.0), lambda: True)
    rows["referring"] = lambda: looking_patch(module)
    rows["spoken to"] = lambda: speaking_patch(module)
    return {**rows, **{name: lambda patch=patch: patch.applied(module) for name, patch in whole.items()}}


NAMES = ("alone", "blurred", "averaged", "freed", "all", "circular", "merged", "tiled", "shrunk")
NAMES += ("referring", "spoken to")


@pytest.mark.parametrize("name", NAMES)
def test_a_patch_acts_and_leaves_no_trace(unet, name):
    before, plain = trace(unet), speak(unet)
    enter = patches_of(unet)[name]
    with enter():
        changed = speak(unet)
    assert float((changed - plain).abs().max()) > 1e-6
    assert trace(unet) == before
    with pytest.raises(KeyError, match="on purpose"), enter():
        speak(unet)
        raise KeyError("on purpose")
    assert trace(unet) == before
    assert torch.equal(speak(unet), plain)


@pytest.mark.parametrize("name", ["alone", "blurred", "averaged", "freed", "all"])
def test_only_the_rows_that_carry_it_are_changed(unet, name):
    plain, change = speak(unet), changes_of(unet)[name]
    with row_patch(unet, NO_CHANGE, change, NO_CHANGE, NO_CHANGE):
        one = speak(unet)
    assert torch.equal(one[[0, 2, 3]], plain[[0, 2, 3]])
    assert float((one[1] - plain[1]).abs().max()) > 1e-6
    with row_patch(unet, change, change, change, change):
        every = speak(unet)
    torch.testing.assert_close(every[1], one[1])


@pytest.mark.parametrize("patch", [looking_patch, speaking_patch])
def test_only_the_row_that_looks_or_listens_is_changed(unet, patch):
    plain = speak(unet)
    with patch(unet):
        found = speak(unet)
    assert torch.equal(found[1:], plain[1:])
    assert float((found[0] - plain[0]).abs().max()) > 1e-6


def test_a_block_is_passed_by_in_single_rows(transformer):
    before, plain = trace(transformer), speak(transformer)
    change = changes_of(transformer)["left out"]
    with row_patch(transformer, NO_CHANGE, change, NO_CHANGE, change):
        found = speak(transformer)
    assert torch.equal(found[[0, 2]], plain[[0, 2]])
    assert float((found[1] - plain[1]).abs().max()) > 1e-6
    assert trace(transformer) == before


def may_meet(names):
    """Whether one request may ask for all of them; validation refuses what takes whole pictures apart beside SEG."""
    thinning = {"merged", "tiled"}.intersection(names)
    return len(thinning) < 2 and not (thinning and {"blurred", "averaged", "all"}.intersection(names))


@pytest.mark.parametrize("seed", range(2))
def test_after_twenty_random_patches_the_model_is_as_before(unet, seed):
    before, plain, chance = trace(unet), speak(unet), random.Random(seed)
    ways = patches_of(unet)
    lawful = [names for count in (1, 2, 3) for names in combinations(ways, count) if may_meet(names)]
    for _ in range(20):
        with contextlib.suppress(KeyError), contextlib.ExitStack() as stack:
            for name in chance.choice(lawful):
                stack.enter_context(ways[name]())
            speak(unet)
            if chance.random() < 0.3:
                raise KeyError("on purpose")
    assert trace(unet) == before
    assert torch.equal(speak(unet), plain)
