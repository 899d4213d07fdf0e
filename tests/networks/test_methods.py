"""The arithmetic of every method against a plain restatement, number by number, and against PEFT's own layers."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from modules.contracts.errors import BrokenModel
from modules.networks.building import Reading, build_change
from modules.networks.places import Place

HERE = Place("unet", "layer")
OUT, IN, RANK, SIDE = 8, 12, 4, 3


def lot(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape) * 31 + len(shape)))


def linear():
    torch.manual_seed(1)
    return nn.Linear(IN, OUT).requires_grad_(False)


def convolution():
    torch.manual_seed(2)
    return nn.Conv2d(IN, OUT, SIDE, stride=2, padding=1).requires_grad_(False)


def every(shape):
    return itertools.product(*map(range, shape))


def by_numbers(shape, rule):
    """A tensor made one number at a time."""
    found = torch.zeros(shape)
    for place in every(shape):
        found[place] = rule(*place)
    return found


def plain_lora(t, layer):
    scale = float(t["alpha"]) / RANK
    if "mid" in t:
        return by_numbers(
            layer.weight.shape,
            lambda o, i, h, w: (
                scale
                * sum(
                    float(t["up"][o, a, 0, 0] * t["mid"][a, b, h, w] * t["down"][b, i, 0, 0])
                    for a in range(RANK)
                    for b in range(RANK)
                )
            ),
        )
    up = t["up"].reshape(OUT, RANK)
    return by_numbers(
        layer.weight.shape, lambda o, *rest: scale * sum(float(up[o, r] * t["down"][(r, *rest)]) for r in range(RANK))
    )


def plain_loha(t, layer):
    scale = float(t["alpha"]) / RANK

    def half(number, o, i):
        a, b = t[f"hada_w{number}_a"], t[f"hada_w{number}_b"]
        return sum(float(a[o, r] * b[r, i]) for r in range(RANK))

    return by_numbers(layer.weight.shape, lambda o, i: scale * half(1, o, i) * half(2, o, i))


def plain_loha_kernel(t, layer):
    scale = float(t["alpha"]) / RANK

    def half(number, o, i, h, w):
        core, a, b = t[f"hada_t{number}"], t[f"hada_w{number}_a"], t[f"hada_w{number}_b"]
        return sum(float(core[r, s, h, w] * a[r, o] * b[s, i]) for r in range(RANK) for s in range(RANK))

    return by_numbers(layer.weight.shape, lambda *place: scale * half(1, *place) * half(2, *place))


def plain_lokr(t, layer):
    left, (rows, columns) = t["lokr_w1"], (4, 4)
    scale = 1.0
    if "lokr_w2" in t:
        right = t["lokr_w2"]
    else:
        right, scale = t["lokr_w2_a"] @ t["lokr_w2_b"], float(t["alpha"]) / t["lokr_w2_b"].shape[0]
    return by_numbers(
        layer.weight.shape,
        lambda o, i: scale * float(left[o // rows, i // columns] * right[o % rows, i % columns]),
    )


def plain_turn(block, limit):
    """Cayley's transform of one skew matrix by its definition: R (I - Q) = I + Q, solved in 64 bits."""
    skew = (block - block.T).double()
    eye = torch.eye(len(skew), dtype=torch.float64)
    return torch.linalg.solve(eye - skew * limit, eye + skew * limit, left=False)


def plain_oft(t, layer):
    blocks = t["oft_blocks"]
    size, norm = blocks.shape[1], float((blocks - blocks.transpose(1, 2)).norm())
    most = float(t["alpha"]) * OUT
    shrink = most / norm if 0 < most < norm else 1.0
    turns = [plain_turn(block, shrink) for block in blocks]
    rescale = t.get("rescale", torch.ones(OUT)).flatten()
    weight = layer.weight.double()

    def number(o, *rest):
        block, row = divmod(o, size)
        turned = sum(turns[block][n, row] * weight[(block * size + n, *rest)] for n in range(size))
        return float(turned * rescale[o] - weight[(o, *rest)])

    return by_numbers(layer.weight.shape, number)


def plain_butterfly(t, layer):
    """The product of all stages as one matrix, each written out in full: block b of stage i has the outputs of one
    group of n * 2^i, those at k and at k + n / 2 * 2^i side by side."""
    blocks = t["oft_blocks"]
    stages, _, size, _ = blocks.shape
    free = blocks - blocks.transpose(-1, -2)
    most = float(t["alpha"]) * OUT
    shrink = most / float(free.norm()) if 0 < most < float(free.norm()) else 1.0
    whole = torch.eye(OUT, dtype=torch.float64)
    for stage in range(stages):
        apart = size // 2 * 2**stage
        places = [
            group + half * apart + k for group in range(0, OUT, 2 * apart) for k in range(apart) for half in (0, 1)
        ]
        full = torch.zeros(OUT, OUT, dtype=torch.float64)
        for number, block in enumerate(blocks[stage]):
            own = places[number * size : (number + 1) * size]
            full[torch.tensor(own)[:, None], torch.tensor(own)] = plain_turn(block, shrink)
        whole = full @ whole
    torch.testing.assert_close(whole @ whole.T, torch.eye(OUT, dtype=torch.float64))  # it only turns
    weight = layer.weight.double().flatten(1)
    turned = (whole @ weight) * t.get("rescale", torch.ones(OUT, 1)).double()
    return (turned - weight).float().reshape(layer.weight.shape)


def plain_generalised(t, layer):
    """W A + B by its definition, A of a1 and a2, B of b1 and b2, in the order of later files."""
    scale = float(t["alpha"]) / RANK
    a1, a2, b1 = (t[name].flatten(1) for name in ("a1", "a2", "b1"))

    def number(o, i, *rest):
        own = sum(float(layer.weight[(o, j, *rest)] * a1[j, r] * a2[r, i]) for j in range(IN) for r in range(RANK))
        if "bm" in t:
            b2 = t["b2"].flatten(1)
            return scale * (
                own + sum(float(b1[o, r] * t["bm"][(r, s, *rest)] * b2[s, i]) for r in range(RANK) for s in range(RANK))
            )
        return scale * (own + sum(float(b1[o, r] * t["b2"][(r, i, *rest)]) for r in range(RANK)))

    return by_numbers(layer.weight.shape, number)


def plain_dora(t, layer):
    moved = layer.weight + plain_lora(t, layer)
    magnitude = t["dora_scale"]
    if magnitude.shape[0] == 1:
        norms = [float(moved[:, i].norm()) for i in range(IN)]
        return by_numbers(
            moved.shape,
            lambda o, i, *rest: float(
                moved[(o, i, *rest)] * magnitude.flatten()[i] / norms[i] - layer.weight[(o, i, *rest)]
            ),
        )
    norms = [float(moved[o].norm()) for o in range(OUT)]
    return by_numbers(
        moved.shape,
        lambda o, *rest: float(moved[(o, *rest)] * magnitude.flatten()[o] / norms[o] - layer.weight[(o, *rest)]),
    )


def plain_ia3(t, layer):
    return by_numbers(
        layer.weight.shape,
        lambda o, i, *rest: float(layer.weight[(o, i, *rest)] * t["weight"].flatten()[i if t["on_input"] else o]),
    )


ALPHA = {"alpha": torch.tensor(2.0)}
GENERALISED = {"a1": lot(IN, RANK), "a2": lot(RANK, IN), "b1": lot(OUT, RANK), "b2": lot(RANK, IN), **ALPHA}
CASES = {
    "lora": (linear, plain_lora, {"up": lot(OUT, RANK), "down": lot(RANK, IN), **ALPHA}),
    "lora-conv": (convolution, plain_lora, {"up": lot(OUT, RANK, 1, 1), "down": lot(RANK, IN, SIDE, SIDE), **ALPHA}),
    "lora-mid": (
        convolution,
        plain_lora,
        {"up": lot(OUT, RANK, 1, 1), "down": lot(RANK, IN, 1, 1), "mid": lot(RANK, RANK, SIDE, SIDE), **ALPHA},
    ),
    "loha": (
        linear,
        plain_loha,
        {
            **{f"hada_w{n}_a": lot(OUT, RANK, seed=n) for n in (1, 2)},
            **{f"hada_w{n}_b": lot(RANK, IN, seed=n) for n in (1, 2)},
            **ALPHA,
        },
    ),
    "loha-conv": (
        convolution,
        plain_loha_kernel,
        {
            **{f"hada_t{n}": lot(RANK, RANK, SIDE, SIDE, seed=n) for n in (1, 2)},
            **{f"hada_w{n}_a": lot(RANK, OUT, seed=n) for n in (1, 2)},
            **{f"hada_w{n}_b": lot(RANK, IN, seed=n) for n in (1, 2)},
            **ALPHA,
        },
    ),
    "lokr": (linear, plain_lokr, {"lokr_w1": lot(2, 3), "lokr_w2": lot(4, 4), **ALPHA}),
    "lokr-low": (linear, plain_lokr, {"lokr_w1": lot(2, 3), "lokr_w2_a": lot(4, 2), "lokr_w2_b": lot(2, 4), **ALPHA}),
    "oft": (linear, plain_oft, {"oft_blocks": lot(2, 4, 4), "alpha": torch.tensor(0.0)}),
    "oft-bound": (convolution, plain_oft, {"oft_blocks": lot(4, 2, 2), "alpha": torch.tensor(0.02)}),
    "oft-rescaled": (
        linear,
        plain_oft,
        {"oft_blocks": lot(2, 4, 4), "rescale": lot(OUT, 1), "alpha": torch.tensor(0.0)},
    ),
    "boft": (linear, plain_butterfly, {"oft_blocks": lot(2, 2, 4, 4), "alpha": torch.tensor(0.0)}),
    "boft-small": (linear, plain_butterfly, {"oft_blocks": lot(3, 4, 2, 2), "alpha": torch.tensor(0.0)}),
    "boft-bound": (convolution, plain_butterfly, {"oft_blocks": lot(2, 4, 2, 2), "alpha": torch.tensor(0.02)}),
    "boft-rescaled": (
        linear,
        plain_butterfly,
        {"oft_blocks": lot(1, 2, 4, 4), "rescale": lot(OUT, 1), "alpha": torch.tensor(0.0)},
    ),
    "glora": (linear, plain_generalised, GENERALISED),
    "glora-conv": (convolution, plain_generalised, {**GENERALISED, "b2": lot(RANK, IN, SIDE, SIDE)}),
    "glora-mid": (
        convolution,
        plain_generalised,
        {
            **{name: tensor[..., None, None] for name, tensor in GENERALISED.items() if name != "alpha"},
            "bm": lot(RANK, RANK, SIDE, SIDE),
            **ALPHA,
        },
    ),
    "dora": (
        linear,
        plain_dora,
        {"up": lot(OUT, RANK), "down": lot(RANK, IN), "dora_scale": lot(OUT, 1), **ALPHA},
    ),
    "dora-inputs": (
        convolution,
        plain_dora,
        {
            "up": lot(OUT, RANK, 1, 1),
            "down": lot(RANK, IN, SIDE, SIDE),
            "dora_scale": lot(1, IN, 1, 1),
            **ALPHA,
        },
    ),
    "ia3": (linear, plain_ia3, {"weight": lot(OUT), "on_input": torch.tensor(0)}),
    "ia3-input": (convolution, plain_ia3, {"weight": lot(IN), "on_input": torch.tensor(1)}),
    "full": (linear, lambda t, layer: t["diff"], {"diff": lot(OUT, IN), "diff_b": lot(OUT)}),
}


@pytest.mark.parametrize("name", CASES)
def test_difference_and_answer_are_what_the_definition_says(name):
    make, plain, tensors = CASES[name]
    layer = make()
    change = build_change(tensors, layer, HERE, Reading())
    weight, bias = change.difference(layer)
    torch.testing.assert_close(weight, plain(tensors, layer), rtol=1e-4, atol=1e-4)
    changed = copy.deepcopy(layer)
    changed.weight += weight
    if bias is not None:
        changed.bias += bias
    given = lot(5, IN) if make is linear else lot(2, IN, 6, 6)
    output = layer(given)
    torch.testing.assert_close(output + change.answer(layer, given, output), changed(given), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer(given), output, rtol=0, atol=0)


def test_early_files_of_generalised_pairs_mean_the_same():
    layer = linear()
    turned = {name: GENERALISED[other] for name, other in (("a1", "a2"), ("a2", "a1"), ("b1", "b2"), ("b2", "b1"))}
    early, _ = build_change({**turned, **ALPHA}, layer, HERE, Reading()).difference(layer)
    later, _ = build_change(GENERALISED, layer, HERE, Reading()).difference(layer)
    torch.testing.assert_close(early, later)


@pytest.mark.parametrize("swapped", [False, True])
def test_generalised_pairs_of_a_fused_layer_are_cut_to_each_part(swapped):
    whole = linear()
    wanted, _ = build_change(GENERALISED, whole, HERE, Reading()).difference(whole)
    for begin, end in ((0, 4), (4, 8)):
        order = [*range(begin + 2, end), *range(begin, begin + 2)] if swapped else [*range(begin, end)]
        part = nn.Linear(IN, end - begin).requires_grad_(False)
        part.weight.copy_(whole.weight[order])
        place = Place("unet", "layer", outputs=(begin, end), swapped=swapped)
        found, _ = build_change(GENERALISED, part, place, Reading()).difference(part)
        torch.testing.assert_close(found, wanted[order])


@pytest.mark.parametrize("convolved", [False, True])
def test_butterflies_of_peft_on_inputs_are_products_of_its_own_permutations(convolved):
    from peft.tuners.boft.layer import BOFTLayer

    layer = nn.Conv2d(4, OUT, 2).requires_grad_(False) if convolved else nn.Linear(16, OUT).requires_grad_(False)
    blocks, factors = lot(3, 4, 4, 4), lot(1, OUT) if convolved else lot(OUT, 1)
    change = build_change({"boft_R": blocks, "boft_s": factors}, layer, HERE, Reading())
    whole = torch.eye(16, dtype=torch.float64)
    for stage in range(3):
        order = BOFTLayer.block_butterfly_perm(None, 16, 4 // 2**stage, 2, 2)
        move = torch.eye(16, dtype=torch.float64)[order]
        turns = [plain_turn(-block / 2, 1.0) for block in blocks[stage]]
        whole = move @ torch.block_diag(*turns) @ move.T @ whole
    plain = layer.weight.double().flatten(1)
    wanted = (whole @ plain.T).T * factors.double().reshape(-1, 1) - plain
    found, _ = change.difference(layer)
    torch.testing.assert_close(found, wanted.float().reshape(layer.weight.shape), rtol=1e-4, atol=1e-4)


def test_a_rank_cut_takes_the_first_components():
    layer, tensors = linear(), CASES["lora"][2]
    cut, _ = build_change(tensors, layer, HERE, Reading(rank=2)).difference(layer)
    torch.testing.assert_close(cut, tensors["up"][:, :2] @ tensors["down"][:2] * (2.0 / RANK))


@pytest.mark.parametrize("layer", [nn.LayerNorm(IN), nn.GroupNorm(3, IN), nn.Embedding(9, IN)])
def test_norms_and_tables_change_like_their_weights(layer):
    layer.requires_grad_(False)
    if isinstance(layer, nn.Embedding):
        tensors, given = {"diff": lot(9, IN)}, torch.tensor([[1, 8, 3]])
    else:
        tensors = {"w_norm": lot(IN), "b_norm": lot(IN)}
        given = lot(4, IN)
    change = build_change(tensors, layer, HERE, Reading())
    weight, bias = change.difference(layer)
    output = layer(given)
    answer = output + change.answer(layer, given, output)
    layer.weight += weight
    if bias is not None:
        layer.bias += bias
    torch.testing.assert_close(answer, layer(given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "tensors",
    [
        {"up": lot(OUT, RANK), "down": lot(RANK, IN + 1)},
        {"up": lot(OUT, RANK + 1), "down": lot(RANK, IN)},
        {"oft_blocks": lot(3, 3, 3)},
        {"oft_blocks": lot(2, 2, 2, 4, 4)},
        {"oft_blocks": lot(4, 4, 2, 2)},
        {"oft_blocks": lot(2, 3, 4, 4)},
        {"boft_R": lot(2, 3, 4, 4)},
        {"boft_R": lot(1, 3, 4, 4), "boft_s": lot(OUT + 1, 1)},
        {"boft_R": lot(3, 4, 4)},
        {**GENERALISED, "a1": lot(IN + 1, RANK)},
        {**GENERALISED, "b1": lot(OUT, RANK + 1)},
        {**GENERALISED, "b1": lot(OUT + 1, RANK)},
        {**GENERALISED, "a2": lot(RANK)},
        {"weight": lot(OUT + 1), "on_input": torch.tensor(0)},
        {"diff": lot(OUT, IN + 1)},
        {"up": lot(OUT, RANK), "down": lot(RANK, IN), "dora_scale": lot(OUT + 1)},
        {"alpha": torch.tensor(1.0)},
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_computed(tensors):
    with pytest.raises(BrokenModel):
        build_change(tensors, linear(), HERE, Reading())


def peft_configs():
    from peft import BOFTConfig, IA3Config, LoHaConfig, LoKrConfig, LoraConfig, OFTConfig

    inside = {"target_modules": ["fc"], "init_weights": False}
    return {
        "lora": LoraConfig(r=4, lora_alpha=6, target_modules=["fc"], init_lora_weights=False),
        "rslora": LoraConfig(r=4, lora_alpha=6, use_rslora=True, target_modules=["fc"], init_lora_weights=False),
        "dora": LoraConfig(r=4, lora_alpha=6, use_dora=True, target_modules=["fc"], init_lora_weights=False),
        "loha": LoHaConfig(r=4, alpha=6, **inside),
        "lokr": LoKrConfig(r=2, alpha=6, **inside),
        "boft": BOFTConfig(boft_block_size=4, boft_n_butterfly_factor=1, **inside),
        "oft": OFTConfig(oft_block_size=4, r=0, **inside),
        "ia3": IA3Config(target_modules=["fc"], feedforward_modules=[]),
        "ia3-input": IA3Config(target_modules=["fc"], feedforward_modules=["fc"]),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["lora", "rslora", "dora", "loha", "lokr", "boft", "oft", "ia3", "ia3-input"])
def test_files_of_peft_answer_as_peft_does(name, tmp_path):
    from peft import get_peft_model

    from modules.networks.loading import PeftConfig, read_file
    from modules.networks.parameters import group_by_layer

    torch.manual_seed(3)
    plain = nn.Sequential()
    plain.add_module("fc", nn.Linear(IN, OUT).requires_grad_(False))
    layer = copy.deepcopy(plain.fc)
    model = get_peft_model(plain, peft_configs()[name])
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad and ("ia3" in name or "magnitude" in parameter_name):
            parameter.data += torch.rand_like(parameter)
    model.save_pretrained(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors, metadata = read_file(file)
    layers, strange = group_by_layer(tensors)
    assert not strange
    ((path, found),) = layers.items()
    reading = PeftConfig.of(file, metadata).reading(path, None)
    change = build_change(found, layer, HERE, reading)
    given = lot(5, IN)
    with torch.no_grad():
        wanted = model(given)
    assert not torch.allclose(wanted, layer(given), atol=1e-3)
    torch.testing.assert_close(layer(given) + change.answer(layer, given, layer(given)), wanted, rtol=1e-4, atol=1e-4)
