"""The command line of the pocket model: `train [STAGE...]`, `eval` and `sample`. Ends in an exit status."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from modules.pocket.evaluation import command as evaluation
from modules.pocket.sampling import MODEL
from modules.pocket.stages.table import BEGIN, STAGES, Run, Stage
from modules.training.journal import Budget

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".build" / "pocket"


def run(argv: Sequence[str]) -> int:
    """Runs one pocket command. 0: done; 1: stopped early, the same command goes on; 2: something needed is missing."""
    arguments = _parser().parse_args(list(argv))
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "train": _train,
        "eval": evaluation.run,
        "sample": _sample,
    }
    try:
        return actions[arguments.action](arguments)
    except OSError as error:
        sys.stderr.write(f"pocket: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="launch.py pocket", description="The small model of our own.")
    actions = parser.add_subparsers(dest="action", required=True)
    train = actions.add_parser("train", help="train stage by stage; stops and goes on at any point")
    train.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(_rows())}; all but begin without")
    train.add_argument("--device", default="cpu", help="where to train, for instance cpu or cuda")
    train.add_argument("--minutes", type=float, help="training time of each stage named, over all its runs")
    train.add_argument("--stop-after", type=float, metavar="MINUTES", help="end this run of each stage earlier")
    train.add_argument("--threads", type=int, help="CPU threads; one is best beside other work")
    train.add_argument("--work", type=Path, default=WORK, help="folder of checkpoints, logs and cached data")
    train.add_argument("--out", type=Path, default=MODEL, help="folder of the exported model")
    evaluation.add_arguments(actions.add_parser("eval", help="judge what the family draws; prints JSON"))
    sample = actions.add_parser("sample", help="draw one prompt")
    sample.add_argument("prompt")
    sample.add_argument("--model", type=Path, default=MODEL)
    sample.add_argument("--count", type=int, default=4)
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--out", type=Path, default=Path("pocket.png"), help="the PNG to write")
    return parser


def _train(arguments: argparse.Namespace) -> int:
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rows = _rows()
    if unknown := [name for name in arguments.stages if name not in rows]:
        sys.stderr.write(f"pocket: no stage {unknown[0]!r}; there are {', '.join(rows)}\n")
        return 2
    for name in arguments.stages or (stage.name for stage in STAGES):
        minutes = arguments.minutes or rows[name].minutes
        budget = Budget(min(minutes, arguments.stop_after or minutes))
        with budget.listening():
            run = Run(arguments.work, arguments.out, budget, minutes * 60, arguments.device)
            done, figures = rows[name].run(run)
        sys.stdout.write(json.dumps({"stage": name, "done": done, **figures}) + "\n")
        sys.stdout.flush()
        if not done or budget.asked:
            return 1
    return 0


def _rows() -> dict[str, Stage]:
    return {stage.name: stage for stage in (BEGIN, *STAGES)}


def _sample(arguments: argparse.Namespace) -> int:
    from modules.pocket.sampling import draw, open_model
    from modules.training.sheets import lay_sheet

    pictures = draw(open_model(arguments.model), [arguments.prompt] * arguments.count, arguments.seed)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    lay_sheet(pictures, columns=8).save(arguments.out)
    sys.stdout.write(f"{arguments.out}\n")
    return 0
