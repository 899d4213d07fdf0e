"""The words of the examples in the OpenAPI document: one story, told once, by the names of fields.

A model whose example is more than the sum of its fields carries it itself (`examples` beside it); so does a field
whose name means something else there. Everything else is looked up here, as `Model.field` first and then as `field`.
"""

from __future__ import annotations

from typing import Any

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR42mNsYIAAJgaKGAAmCACQtTEKkQAAAABJRU5ErkJggg=="
"""A grey picture of 8 by 8 pixels, as PNG in base64."""
JOB = "9f3c2a7be41d4c55"
PICTURE_ID = f"{JOB}-0"
PROMPT = "a red circle on a white background"
INFOTEXT = f"{PROMPT}\nSteps: 12, Sampler: DPM++ 2M, CFG scale: 7.0, Seed: 1, Size: 128x128, Model: pocket"

FILM: dict[str, Any] = {
    "prompt": {"text": "a fox runs through snow"},
    "canvas": {"width": 832, "height": 480},
    "seeds": {"seed": 1},
    "film": {"frames": 49, "fps": 16, "format": "mp4"},
}
"""A film, as `POST /api/v1/jobs` takes it, of a model of films."""
OLD_FILM: dict[str, Any] = {
    "prompt": "a fox runs through snow",
    "width": 832,
    "height": 480,
    "seed": 1,
    "frames": 49,
    "fps": 16,
    "film_format": "mp4",
}
"""The same for `/sdapi/v1/txt2img`."""

_JOBS: dict[str, Any] = {
    "id": JOB,
    "job_id": JOB,
    "task_id": JOB,
    "id_task": JOB,
    "current_task_id": None,
    "running": [JOB],
    "owner": "ada",
    "created": "2026-11-21T09:00:00Z",
    "started": "2026-11-21T09:00:01Z",
    "ended": None,
    "moment": "2026-11-21T09:00:02Z",
    "attempts": 1,
    "attempt": 1,
    "crashes": 0,
    "pictures": 0,
    "paused": False,
    "JobRow.words": PROMPT,
    "JobView.words": PROMPT,
    "JobRow.error": None,
    "JobView.error": None,
    "origin": None,
    "megapixel_steps": 0.196608,
    "predicted_seconds": 2.4,
    "measured_seconds": None,
    "model": "pocket",
    "priority": 0,
    "deadline": None,
    "timeout": None,
    "keep_partial": False,
    "idempotency_key": "order-17",
    "step": 6,
    "steps": 12,
    "batch": 0,
    "batches": 1,
    "stage": "denoise",
    "position": 0,
    "progress": 0.5,
    "low": 0.9,
    "likely": 1.2,
    "high": 1.9,
    "preview": True,
    "following": None,
    "total": 1,
    "location": f"/api/v1/jobs/{JOB}",
    "mode": "txt2img",
    "level": "warning",
    "size": 1,
    "tasks": [JOB],
    "LogRow.text": "The VAE gave NaN in fp16; it decodes in fp32 now.",
    "RequestRow.request": {"prompt": {"text": PROMPT}, "canvas": {"width": 128, "height": 128}, "seeds": {"seed": 1}},
    "JobRow.state": "running",
    "JobView.state": "running",
    "JobError.kind": "out_of_memory",
    "JobError.message": "The device has no memory left for 4096 × 4096 pixels.",
    "mine": 1,
    "all": 3,
    "lanes": 8,
    "Cleared.jobs": 3,
    "TakenIn.id": JOB,
    "TakenIn.error": None,
    "weight": 1.0,
    "used_seconds": 41.5,
}
_PICTURES: dict[str, Any] = {
    "picture_id": PICTURE_ID,
    "index": 0,
    "width": 128,
    "height": 128,
    "media_type": "image/png",
    "infotext": INFOTEXT,
    "PictureRow.id": PICTURE_ID,
    "PictureRow.name": "1-a-red-circle.png",
    "ids": [PICTURE_ID],
    "image": PICTURE,
    "images": [PICTURE],
    "b64_json": PICTURE,
    "mask": PICTURE,
    "InfotextRow.parameters": {"Prompt": PROMPT, "Steps": "12", "Seed": "1"},
    "RecipeRow.recipe": {
        "seed": 1,
        "steps": 12,
        "sampler": "DPM++ 2M",
        "model": "pocket",
        "versions": {"torch": "2.15.0"},
    },
    "favourite": True,
    "binned": None,
    "same": True,
    "tolerance": 1,
    "largest": 1,
    "mean": 0.002,
    "part": "versions.torch",
    "then": "2.14.0",
    "now": "2.15.0",
}
_OLD: dict[str, Any] = {
    "parameters": {"prompt": PROMPT, "steps": 12, "seed": 1},
    "info": '{"prompt": "a red circle on a white background", "all_seeds": [1]}',
    "PNGInfoResponse.info": INFOTEXT,
    "PNGInfoResponse.parameters": {"Prompt": PROMPT, "Steps": "12", "Seed": "1"},
    "CreateResponse.info": "Creating an embedding is not available in this version; nothing was done.",
    "items": {},
    "html_info": "Upscaler: Lanczos",
    "current_image": None,
    "textinfo": "denoise",
    "live_preview": None,
    "eta": 1.2,
    "id_live_preview": 6,
    "FileData.data": PICTURE,
    "FileData.name": "a.png",
    "ProgressRow.eta": {"low": 0.9, "likely": 1.2, "high": 1.9},
    "title": "pocket",
    "model_name": "pocket",
    "hash": None,
    "sha256": None,
    "config": None,
    "family": "sd15",
    "filename": "pocket",
    "SDModelItem.name": "pocket",
    "SDVaeItem.name": "vae-ft-mse-840000",
    "SDVaeItem.model_name": "vae-ft-mse-840000",
    "SDVaeItem.filename": "vae-ft-mse-840000.safetensors",
    "SamplerItem.name": "DPM++ 2M",
    "aliases": ["k_dpmpp_2m"],
    "SamplerItem.options": {"scheduler": "karras"},
    "SchedulerItem.name": "karras",
    "label": "Karras",
    "default_rho": 7.0,
    "need_inner_model": False,
    "SchedulerItem.aliases": None,
    "UpscalerItem.name": "Lanczos",
    "UpscalerItem.model_name": None,
    "scale": 4.0,
    "model_path": None,
    "model_url": None,
    "LatentUpscalerModeItem.name": "Latent",
    "ram": {"free": 12_000_000_000, "used": 4_000_000_000, "total": 16_000_000_000},
    "cuda": {"error": "There is no CUDA device."},
    "job": JOB,
    "job_count": 1,
    "sampling_step": 6,
    "sampling_steps": 12,
    "job_timestamp": "20261121090001",
    "eta_relative": 1.2,
}
_SCHEDULER: dict[str, Any] = {
    "api_task_id": None,
    "api_task_callback": None,
    "TaskModel.name": None,
    "type": "txt2img",
    "status": "pending",
    "params": {"prompt": PROMPT, "steps": 12},
    "result": None,
    "bookmarked": False,
    "TaskFile.params": '{"args": {"prompt": "a red circle", "steps": 12}, "checkpoint": "pocket"}',
    "TaskFile.request": {"prompt": {"text": PROMPT}, "canvas": {"width": 128, "height": 128}, "seeds": {"seed": 1}},
    "total_pending_tasks": 1,
    "created_at": 1_795_251_600_000,
    "updated_at": 1_795_251_601_000,
    "TaskPlace.data": {"status": "pending", "position": 0},
    "Done.message": "Task is scheduled to run next",
}
_OPENAI: dict[str, Any] = {
    "revised_prompt": PROMPT,
    "ImagesAnswer.created": 1_795_251_600,
    "OpenAIModel.created": 1_795_251_600,
    "output_format": "png",
    "ImagesAnswer.size": "128x128",
    "ImagesAnswer.quality": "medium",
    "ImagesAnswer.background": "opaque",
    "ImageRow.url": None,
    "OpenAIModel.id": "pocket",
    "OpenAIError.message": "There is no model 'dall-e-3'; there are pocket.",
    "OpenAIError.type": "invalid_request_error",
    "OpenAIError.param": None,
    "OpenAIError.code": "model_not_found",
}
_PEOPLE: dict[str, Any] = {
    "name": "ada",
    "role": "admin",
    "open": False,
    "tier": "standard",
    "disabled": False,
    "user": "ada",
    "UserRow.role": "admin",
    "expires": None,
    "used": None,
    "UserChange.tier": "standard",
    "TokenRow.id": "t7Qm2x",
    "TokenMade.id": "t7Qm2x",
    "TokenRow.label": "my script",
    "TokenMade.label": "my script",
    "TokenMade.text": "at_4kq1Zt0x8bPq7w2aN5cR",
    "used_today": 12.5,
    "used_this_month": 340.0,
    "left_today": 987.5,
    "left_this_month": None,
    "credits": 100.0,
    "note": "for the workshop",
    "number": 17,
    "kind": "grant",
    "LedgerRow.job_id": None,
    "TierRow.name": "standard",
    "credits_per_day": 1000.0,
    "credits_per_month": None,
    "pictures_per_minute": 30,
    "max_pixels": 4_194_304,
    "max_steps": 100,
    "queue_depth": 20,
    "models": [],
}
_HEALTH: dict[str, Any] = {
    "ready": True,
    "page": True,
    "phase": "ready",
    "message": "Ready",
}
_WATCHING: dict[str, Any] = {
    "lane": 0,
    "LaneRow.model": "pocket",
    "up_seconds": 86_400.0,
    "versions": {"atelier": "0.1.0", "torch": "2.15.0"},
    "device": "NVIDIA H100",
    "StatusReport.jobs": {"queued": 1, "running": 1, "done": 340},
    "jobs_per_minute": 12.0,
    "seconds_per_step": 0.05,
    "samples_per_forward": 3.2,
    "StatusReport.memory": {"process": 3_200_000_000, "free": 12_000_000_000},
    "StatusReport.models": ["pocket"],
    "caches": {"embeddings": {"hits": 340, "misses": 21}},
    "refused": {"over_limit": 3},
    "seconds": 1.2,
    "ErrorRow.kind": "out_of_memory",
    "ErrorRow.message": "The device has no memory left for 4096 × 4096 pixels.",
    "ErrorRow.ended": "2026-11-21T09:00:09Z",
}
FIELDS: dict[str, Any] = _JOBS | _PICTURES | _OLD | _SCHEDULER | _OPENAI | _PEOPLE | _HEALTH | _WATCHING
"""Examples by the name of a field, or of one field of one model."""

_ROWS = "Rows of this kind; none in this version."
ANSWERS: dict[str, tuple[Any, str]] = {
    "post /sdapi/v1/interrupt": ({}, "Asked to stop; nothing more to say."),
    "get /sdapi/v1/extensions": (
        [
            {
                "name": "haze",
                "remote": "https://git.example/people/haze.git",
                "branch": "",
                "commit_hash": "9f" * 20,
                "version": "9f" * 4,
                "commit_date": 0,
                "enabled": True,
            }
        ],
        "Extensions; where they came from is for admins.",
    ),
    "get /sdapi/v1/cmd-flags": ({"api": True, "port": 7860, "lanes": 8}, "The command line by A1111's names."),
    **{f"post /sdapi/v1/{word}-checkpoint": ({}, "Done; there is nothing to say.") for word in ("unload", "reload")},
    **{f"get /sdapi/v1/{name}": ([], _ROWS) for name in ("hypernetworks", "realesrgan-models")},
    **{
        f"get /agent-scheduler/v1/{place}": (
            {"success": True, "data": [{"image": f"data:image/png;base64,{PICTURE}", "infotext": INFOTEXT}]},
            "The pictures, or with `zip` one archive; `success` is false for a task that is not done.",
        )
        for place in ("task/{id}/results", "results/{id}")
    },
    "get /agent-scheduler/v1/samplers": (["DPM++ 2M", "Euler a"], "Names of samplers."),
    "get /agent-scheduler/v1/sd-models": (["pocket"], "Titles of models."),
    "get /adetailer/v1/schema": (
        {"title": "ADetailerArgs", "type": "object", "properties": {"ad_model": {"type": "string"}}},
        "A JSON schema of the fields.",
    ),
    **{
        f"{method} /api/v1/extensions/{{name}}/routes/{{address}}": ({"answer": 42}, "Whatever the extension answers.")
        for method in ("get", "post")
    },
    "get /internal/ping": ({}, "The server answers."),
}
"""Answers that no model describes: an example, and what they are. By method and path."""


def _failure(kind: str, sentence: str) -> dict[str, str]:
    return {"error": kind, "detail": sentence, "body": "", "errors": ""}


FAILURES: dict[str, dict[str, str]] = {
    "401": _failure("not_signed_in", "A name and password, or a token, that the studio knows is needed."),
    "403": _failure("not_allowed", f"Job '{JOB}' belongs to somebody else."),
    "404": _failure("unknown_name", f"There is no job '{JOB}'."),
    "422": _failure("invalid_request", "Steps is -1; allowed is 1 to 1000."),
    "429": _failure("over_limit", "You have used your 1000 credits of today."),
    "503": _failure("not_ready", "The studio cannot draw now (model): Loading the model"),
    "507": _failure(
        "out_of_memory", "The device has no memory left for 4096 × 4096 pixels. Ask for a smaller picture."
    ),
    "default": _failure(
        "internal_error", "Something went wrong inside the studio; the log says more under 4d1f0a9be2c7."
    ),
}
"""By status: what is answered when something goes wrong."""
