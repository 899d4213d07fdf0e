"""Infotext re-run: what an infotext says is drawn again, with changes."""

from modules.scripts.v1 import InvalidRequest, Script, Text, recall


class InfotextRerun(Script):
    """The picture that an infotext is about, whichever program wrote it."""

    title = "Infotext re-run"
    always_on = False
    infotext = Text("Infotext", lines=6, help="As a picture carries it; png-info shows it.")
    changes = Text("Changes", help="Fields in place of those of the infotext, such as Steps: 30, CFG scale: 5.")

    def run(self, job, request):
        """Batch, output and given pictures are those of the request; all else is what the infotext says."""
        if not job.values["infotext"].strip():
            raise InvalidRequest("Infotext re-run: there is no infotext.")
        asked, unknown = recall(job.values["infotext"], request, job.values["changes"])
        if unknown:
            job.note(f"Nothing was made of these fields of the infotext: {', '.join(unknown)}.")
        yield from job.generate(asked).pictures
