"""The whole studio with an extension: from the queue to the gallery, with the model that ships."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from modules.app import build_studio
from modules.bootstrap.options import Options, PathOptions, RunOptions
from modules.contracts.errors import InvalidRequest
from modules.contracts.request import CanvasParams, GenerationRequest, PromptParams, SamplingParams, SeedParams
from modules.contracts.scripts import GivenValue, ScriptParams, ScriptUse
from modules.experiments.reading import AxisReader, make_experiment
from modules.experiments.results import Results

SOURCE = """
from modules.scripts.v1 import Number, Script

class Flat(Script):
    share = Number("Share", 0.0, minimum=0, maximum=1)
    models = []

    def model_loaded(self, name, family):
        self.models.append(name)

    def picture(self, job, facts, image):
        (job.storage / "seen.txt").write_text(",".join(self.models))
        from PIL import Image
        return Image.blend(image, Image.new("RGB", image.size, "white"), job.values["share"])
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    (folder / "extensions" / "flat" / "scripts").mkdir(parents=True)
    (folder / "extensions" / "flat" / "scripts" / "flat.py").write_text(SOURCE)
    paths = PathOptions(data_dir=folder / "data", extensions_dir=folder / "extensions")
    made = build_studio(Options(paths=paths, run=RunOptions(lanes=2, offline=True)))
    assert made.status.wait(120)
    yield made
    made.close()


def asking(share):
    use = ScriptUse("Flat", (GivenValue("share", share),))
    return GenerationRequest(
        PromptParams("a red circle"),
        CanvasParams(64, 64),
        SeedParams(3),
        SamplingParams(steps=2),
        scripts=ScriptParams((use,)),
    )


def test_a_job_from_the_queue_goes_through_the_extension_into_the_gallery(studio):
    first, second = (studio.queue.submit(asking(share), "ada").wait(120) for share in (0.0, 1.0))
    assert np.asarray(second.pictures[0].image).min() == 255
    assert np.asarray(first.pictures[0].image).min() < 200
    assert "Flat: share: 1" in second.pictures[0].infotext.replace('"', "")
    assert first.notes == second.notes == ()
    assert (studio.paths.data / "extensions" / "flat" / "seen.txt").read_text() != ""


def test_what_the_scripts_do_not_take_is_refused_at_the_queue(studio):
    with pytest.raises(InvalidRequest, match="Flat: Share is 2"):
        studio.queue.submit(asking(2), "ada")


def test_what_a_script_is_told_varies_in_a_grid(studio):
    plain = dataclasses.replace(asking(0.0), scripts=ScriptParams())
    axis = AxisReader(studio.catalog, scripts=studio.scripts).axis("flat: share", "0.5-1 [2]")
    record = studio.experiments.start(make_experiment(plain, [axis]), "ada")
    record = studio.experiments.wait(record.id, 120)
    assert record.counts == {"done": 2}
    shown = [np.asarray(Results(studio.pictures).shown(cell)) for cell in studio.experiments.cells(record.id)]
    assert 127 <= shown[0].min() < 255
    assert shown[1].min() == 255


def test_switched_off_and_on_again_between_jobs_of_one_start(studio):
    studio.scripts.switch("flat", "disable")
    plain = studio.queue.submit(dataclasses.replace(asking(1.0), scripts=ScriptParams()), "ada").wait(120)
    assert np.asarray(plain.pictures[0].image).min() < 200
    studio.scripts.switch("flat", "enable")
    again = studio.queue.submit(asking(1.0), "ada").wait(120)
    assert np.asarray(again.pictures[0].image).min() == 255
