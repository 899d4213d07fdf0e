"""Batch from folder: every picture of a folder goes through image to image."""

from dataclasses import replace

from PIL import Image, ImageOps

from modules.scripts.v1 import ImageParams, InvalidRequest, Script, Text, Toggle, encode

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif"})
LONGEST = 8192
"""Pixels along a side of a picture that is taken."""


class BatchFromFolder(Script):
    """Pictures lie below the script's own folder: nobody reaches other people's through it."""

    title = "Batch from folder"
    always_on = False
    folder = Text("Folder", help="Below data/extensions/batch_from_folder.py; empty is that folder itself.")
    own_size = Toggle("Each picture's own size", True)

    def run(self, job, request):
        """In order of the files' names, all with the same seed. What is no picture is named in a note and left out."""
        files = self.files(job)
        for number, file in enumerate(files):
            job.progress(number, len(files))
            try:
                with Image.open(file) as found:
                    if max(found.size) > LONGEST:
                        raise ValueError(f"it is longer than {LONGEST} pixels")
                    image = ImageOps.exif_transpose(found).convert("RGB")
            except (OSError, SyntaxError, ValueError) as error:
                job.note(f"{file.name} was left out: {str(error).replace(str(file), file.name)}.")
                continue
            one = replace(request, image=replace(request.image or ImageParams(), images=(encode(image),)))
            if job.values["own_size"]:
                width, height = (max(16, side // 8 * 8) for side in image.size)
                one = replace(one, canvas=replace(request.canvas, width=width, height=height))
            yield from job.generate(one).pictures

    def files(self, job):
        """The picture files of the folder, by name."""
        root = job.storage.resolve()
        folder = (root / job.values["folder"].strip().replace("\0", "")).resolve()
        if not folder.is_relative_to(root) or not folder.is_dir():
            raise InvalidRequest(f"Batch from folder: there is no folder '{job.values['folder']:.100}' below its own.")
        inside = (file for file in sorted(folder.iterdir()) if file.resolve().is_relative_to(root))
        files = [file for file in inside if file.suffix.lower() in ENDINGS and file.is_file()]
        if not files:
            raise InvalidRequest("Batch from folder: there is no picture in the folder.")
        return files
