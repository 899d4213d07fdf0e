"""The list of holes that other programs had (`users.md` of the project's notes): each has a test of its name."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

LIST = """
a1111_12822 a1111_16715=cve_2024_4940 a1111_4165 a1111_4717 a1111_16500 a1111_ryotak a1111_12663 a1111_12698 a1111_2235
a1111_extensions_394=extensions_394 comfyui_cve_2024_10099 comfyui_cve_2024_10481 comfyui_manager_cve_2025_67303
comfyui_manager_2026 comfyui_12286 comfyui_3461 comfyui_11791=11791 comfyui_15822 invokeai_cve_2024_12029
invokeai_2946 invokeai_ghsa_vv9c invokeai_6_13_7 invokeai_6_13_8 fooocus_4198 iopaint_585 iopaint_656 sdnext_auth_bypass
open_webui_cve_2026_45401
cve_2021_43831 cve_2022_24770 cve_2023_25823 cve_2023_34239 cve_2023_51449 cve_2023_6572 ghsa_hmx6 cve_2024_1727
cve_2024_1728 cve_2024_1561 cve_2024_34511 cve_2024_4940 cve_2024_47084 cve_2024_47165 cve_2024_47164 cve_2024_47166
cve_2024_47167 cve_2024_47869 cve_2024_47867=2024_47867 cve_2024_47871=47871 cve_2024_47868 cve_2024_47872 gradio_11162
cve_2026_28414 cve_2026_28416 cve_2026_49119
saferpickle_18 cve_2025_32434
2d_6 2d_11 decompression_bombs dns_rebinding
"""
"""Of parts 2a to 2d; `=` where a test bears another of its names."""


@functools.cache
def names():
    """Names of test functions, and the first words of the cases of those with many."""
    return tuple(_names())


def _names():
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name
            elif isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
                yield str(node.elts[0].value)


@pytest.mark.parametrize("hole", LIST.split())
def test_every_hole_of_the_list_has_a_test_of_its_name(hole):
    wanted = hole.rpartition("=")[2]
    assert [name for name in names() if wanted in name]
