"""The preprocessors: those that work here, and those that lack weights, each with what it lacks. Light: no numpy."""

from __future__ import annotations

from collections.abc import Sequence

from modules.contracts.control import REFERENCE_ADAIN, REFERENCE_BOTH, REFERENCE_ONLY
from modules.contracts.controls import PreprocessorEntry, Slider
from modules.contracts.errors import InvalidRequest, UnsupportedFeature
from modules.control.annotators import say_needs
from modules.control.figures import FIGURES

FIDELITY = Slider("Style Fidelity", 0.5, 0.0, 1.0, 0.01)
"""Share of the answer to the negative prompt that a reference leaves alone, in the mode `Balanced`."""
GAMMA = Slider("Gamma Correction", 1.0, 0.1, 2.0, 0.001)

WORKING = (
    PreprocessorEntry("none", "none", resolution=False),
    PreprocessorEntry(
        "canny",
        "canny",
        ("Canny",),
        ("canny_edge",),
        (Slider("Low Threshold", 100, 1, 255), Slider("High Threshold", 200, 1, 255)),
    ),
    PreprocessorEntry(
        "scribble_xdog", "scribble_xdog", ("Scribble",), ("fake_scribble_xdog",), (Slider("XDoG Threshold", 32, 1, 64),)
    ),
    PreprocessorEntry(
        "lineart_standard",
        "lineart_standard (from white bg & black line)",
        ("Lineart",),
        ("standard_lineart", "lineart_standard (from white bg & black line)"),
    ),
    PreprocessorEntry("softedge_gradient", "softedge_gradient (no network)", ("SoftEdge",)),
    PreprocessorEntry("softedge_gradient_safe", "softedge_gradient_safe (no network)", ("SoftEdge",)),
    PreprocessorEntry(
        "tile_resample", "tile_resample", ("Tile",), ("tile_gaussian",), (Slider("Down Sampling Rate", 1, 1, 8, 0.01),)
    ),
    PreprocessorEntry(
        "blur_gaussian", "blur_gaussian", ("Tile", "Blur"), ("gaussian_blur",), (Slider("Sigma", 9, 0.01, 64, 0.01),)
    ),
    PreprocessorEntry("recolor_luminance", "recolor_luminance", ("Recolor",), ("recolour_luminance",), (GAMMA,)),
    PreprocessorEntry("recolor_intensity", "recolor_intensity", ("Recolor",), ("recolour_intensity",), (GAMMA,)),
    PreprocessorEntry(
        "inpaint_global_harmonious",
        "inpaint_global_harmonious",
        ("Inpaint",),
        ("inpaint_global",),
        resolution=False,
        masked=True,
    ),
    PreprocessorEntry("inpaint", "inpaint", ("Inpaint",), resolution=False, masked=True),
    PreprocessorEntry(
        "threshold", "threshold", ("Scribble",), ("binary",), (Slider("Binarization Threshold", 127, 0, 255),)
    ),
    PreprocessorEntry("shuffle", "shuffle", ("Shuffle",), ("content_shuffle", "shuffle_content")),
    PreprocessorEntry(
        "segment_colors", "segment_colors (no network)", ("Segmentation",), (), (Slider("Colours", 12, 2, 64),)
    ),
    PreprocessorEntry(
        "invert",
        "invert (from white bg & black line)",
        ("Canny", "Lineart", "Scribble", "MLSD"),
        ("invert (from white bg & black line)", "channel_invert"),
        resolution=False,
    ),
    *(
        PreprocessorEntry(name, name, ("Reference",), sliders=(FIDELITY,), resolution=False, network=False)
        for name in (REFERENCE_ONLY, REFERENCE_ADAIN, REFERENCE_BOTH)
    ),
    *(
        PreprocessorEntry(name, name, ("IP-Adapter",), aliases, resolution=False, encoder=True)
        for name, aliases in (
            ("ip-adapter-auto", ()),
            ("ip-adapter_clip_sd15", ("ip-adapter_clip_h",)),
            ("ip-adapter_clip_sdxl", ("ip-adapter_clip_g",)),
            ("ip-adapter_clip_sdxl_plus_vith", ()),
        )
    ),
)
"""In display order. Names with `(no network)` are this project's own."""


def _lacking(name: str, tag: str, needs: str, *aliases: str) -> PreprocessorEntry:
    return PreprocessorEntry(name, name, (tag,), aliases, needs=f"The preprocessor {name} needs {needs}.")


def _learned(name: str, tag: str, *aliases: str, sliders: tuple[Slider, ...] = ()) -> PreprocessorEntry:
    return PreprocessorEntry(name, name, (tag,), aliases, sliders, needs=say_needs(name))


LEARNED = (
    _learned("depth_midas", "Depth", "depth", "midas"),
    _learned("depth_zoe", "Depth"),
    _learned("depth_anything", "Depth"),
    _learned("depth_anything_v2", "Depth"),
    _learned("openpose", "OpenPose"),
    *(_learned(name, "OpenPose") for name in FIGURES),
    _learned("seg_ufade20k", "Segmentation", "segmentation"),
    _learned("softedge_hed", "SoftEdge", "hed"),
    _learned("softedge_hedsafe", "SoftEdge", "hed_safe"),
    _learned("softedge_pidinet", "SoftEdge", "pidinet"),
    _learned("softedge_pidisafe", "SoftEdge", "pidinet_safe"),
    _learned("scribble_hed", "Scribble", "fake_scribble", "scribble"),
    _learned("scribble_pidinet", "Scribble", "pidinet_scribble"),
    _learned("lineart_realistic", "Lineart", "lineart"),
    _learned("lineart_coarse", "Lineart"),
    _learned("lineart_anime", "Lineart"),
    _learned(
        "mlsd",
        "MLSD",
        "mlsd_lines",
        sliders=(
            Slider("MLSD Value Threshold", 0.1, 0.01, 2.0, 0.01),
            Slider("MLSD Distance Threshold", 0.1, 0.01, 20.0, 0.01),
        ),
    ),
)
"""Those that work once their network is there."""
_ADE = "a segmentation network trained on ADE20K"
_FACES = "the networks of InsightFace (buffalo_l, 326 MB)"
MISSING = (
    _lacking("softedge_teed", "SoftEdge", "the network TEED (0.2 MB)", "te_hed"),
    _lacking("softedge_anyline", "SoftEdge", "the network MTEED (0.2 MB)"),
    _lacking("lineart_anime_denoise", "Lineart", "the network of MangaLineExtraction (134 MB)"),
    _lacking("depth_leres", "Depth", "the network LeReS (res101.pth, 530 MB)"),
    _lacking("depth_leres++", "Depth", "the networks LeReS and pix2pix (530 and 330 MB)", "depth_leres_boost"),
    _lacking("normal_bae", "NormalMap", "the network NormalBae (scannet.pt, 291 MB)"),
    _lacking("normal_midas", "NormalMap", "the network MiDaS (dpt_hybrid-midas-501f0c75.pt, 490 MB)", "normal_map"),
    _lacking("seg_ofade20k", "Segmentation", f"{_ADE} (OneFormer, 906 MB)", "oneformer_ade20k"),
    _lacking("seg_ofcoco", "Segmentation", "the network OneFormer trained on COCO (906 MB)", "oneformer_coco"),
    _lacking("inpaint_only", "Inpaint", "the result blended in while it is drawn; use inpaint from a picture instead"),
    _lacking("inpaint_only+lama", "Inpaint", "the network LaMa (204 MB)"),
    _lacking("tile_colorfix", "Tile", "colours corrected while it is drawn, which this version has not"),
    _lacking("tile_colorfix+sharp", "Tile", "colours corrected while it is drawn, which this version has not"),
    _lacking("ip-adapter_face_id", "IP-Adapter", _FACES),
    _lacking("ip-adapter_face_id_plus", "IP-Adapter", _FACES),
    _lacking("clip_vision", "T2I-Adapter", "a style adapter, which this version has not", "t2ia_style_clipvision"),
    _lacking("mediapipe_face", "OpenPose", "the networks of MediaPipe"),
)
"""Names of the extension that clients may ask for."""
ALL = (*WORKING, *LEARNED, *MISSING)


def find_preprocessor(name: str, entries: Sequence[PreprocessorEntry] = ALL) -> PreprocessorEntry:
    """The one of `entries` of that name, label or alias, whatever its case; an empty name is `none`.

    Raises `UnsupportedFeature` where it lacks something, `InvalidRequest` where there is none of that name.
    """
    wanted = name.strip().casefold() or "none"
    working = ", ".join(entry.name for entry in entries if entry.needs is None)
    for entry in entries:
        if wanted in {word.casefold() for word in (entry.name, entry.label, *entry.aliases)}:
            if entry.needs is not None:
                raise UnsupportedFeature(f"{entry.needs} Those that work here are {working}.")
            return entry
    raise InvalidRequest(f"There is no preprocessor {name!r}; those that work here are {working}.")
