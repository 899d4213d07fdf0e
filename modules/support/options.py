"""The declarations of all settings of the core."""

from __future__ import annotations

from modules.bootstrap.options import ATTENTIONS
from modules.support.settings import Setting

CORE_SETTINGS: tuple[Setting, ...] = (
    Setting("sd_model_checkpoint", "", "Checkpoint", "model", choices="models", help="Empty picks a model by itself."),
    Setting("sd_vae", "Automatic", "VAE", "model", choices="vaes"),
    Setting("CLIP_stop_at_last_layers", 1, "Clip skip", "model", minimum=1, maximum=12),
    Setting("sd_checkpoints_limit", 2, "Models kept in memory", "model", "admin", minimum=1, maximum=32),
    Setting("model_memory_share", 0.8, "Share of memory for resident models", "model", "admin", minimum=0, maximum=1),
    Setting("samples_format", "png", "File format", "saving", choices=("png", "jpeg", "webp", "avif")),
    Setting("jpeg_quality", 90, "Quality of JPEG, WebP and AVIF", "saving", minimum=1, maximum=100),
    Setting("samples_filename_pattern", "[seed]-[prompt_words]", "File name pattern", "saving"),
    Setting("save_txt", False, "Text file beside every picture", "saving"),
    Setting("return_grid", True, "Grid of several pictures in the answer", "saving"),
    Setting("live_previews_enable", True, "Previews for whoever watches", "preview"),
    Setting("show_progress_every_n_steps", 2, "Preview every N steps, 0 never", "preview", minimum=0, maximum=100),
    Setting("live_preview_size", 512, "Largest side of a preview", "preview", minimum=64, maximum=2048),
    Setting(
        "cross_attention_optimization",
        "Automatic",
        "Attention",
        "model",
        "admin",
        choices=("Automatic", *ATTENTIONS),
        help="How attention is computed; Automatic takes what the start named, else what the libraries choose.",
    ),
    Setting("upcast_vae_on_nan", True, "Decode again in fp32 when the VAE gives NaN", "model", "admin"),
    Setting("img2img_fix_steps", False, "Do all steps in image to image, whatever the strength", "sampling", "admin"),
    Setting(
        "ESRGAN_tile", 256, "Tile of upscalers, pixels; 0 never cuts", "upscaling", "admin", minimum=0, maximum=2048
    ),
    Setting("ESRGAN_tile_overlap", 32, "Overlap of these tiles, pixels", "upscaling", "admin", minimum=0, maximum=256),
    Setting(
        "upscale_max_megapixels",
        68.0,
        "Largest enlarged picture, megapixels",
        "upscaling",
        "admin",
        help="What an upscaler makes before it is brought to size counts, too.",
        minimum=0.01,
        maximum=256,
    ),
    Setting("batch_window_ms", 4.0, "Wait before a merged call, ms", "serving", "admin", minimum=0, maximum=1000),
    Setting("max_batch", 16, "Largest merged batch", "serving", "admin", minimum=1, maximum=256),
    Setting("max_megapixels", 17.0, "Largest picture, megapixels", "serving", "admin", minimum=0.01, maximum=64),
    Setting(
        "fetch_picture_urls",
        False,
        "Fetch pictures that requests name by an https address",
        "serving",
        "admin",
        help="Public addresses only, a few for each request; never under --offline.",
    ),
    Setting(
        "jobs_keep_days",
        90,
        "Days that ended jobs are kept, 0 for ever",
        "serving",
        "admin",
        help="Their pictures stay whatever this says.",
        minimum=0,
        maximum=36500,
    ),
    Setting(
        "jobs_keep_number", 10000, "Ended jobs that are kept, 0 all", "serving", "admin", minimum=0, maximum=10_000_000
    ),
    Setting(
        "jobs_keep_input_mb",
        512,
        "Pictures sent with jobs that are kept after the end, MB; 0 none",
        "serving",
        "admin",
        help="They are needed to verify what was made of them and to ask for it again. The oldest go first.",
        minimum=0,
        maximum=1_000_000,
    ),
    Setting(
        "queue_input_mb",
        2048,
        "Requests that may wait, pictures included, MB; 0 no bound",
        "serving",
        "admin",
        minimum=0,
        maximum=1_000_000,
    ),
    Setting(
        "queue_input_mb_per_owner",
        1024,
        "Those of one owner, MB; 0 no bound",
        "serving",
        "admin",
        minimum=0,
        maximum=1_000_000,
    ),
    Setting("hub_token", "", "Token for the model hub", "hub", "secret"),
)
