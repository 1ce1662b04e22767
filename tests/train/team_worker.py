"""Five steps of a tiny model, in float64 and again in float32, on as many processes as ``torchrun`` starts.

The leading one saves weights and the last step's loss terms, DTYPE.safetensors in a folder.

Not a test module: ``tests/train/test_team.py`` runs it, also as a program.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.train.conftest import TINY
from tide.data import load
from tide.models.presets import preset
from tide.models.thinker import Thinker
from tide.nn.constraints import project_
from tide.runs.folder import SilentRun
from tide.train.report import SilentReporter
from tide.train.run import Run
from tide.train.step import Trainer, make_optimizer
from tide.train.supervised import Supervised, fit_to_data, resolved, supervised_run
from tide.train.team import Team

POISONED = 3


def main(folder: Path) -> None:
    team, splits = Team.from_environment(), load("digits")
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    settings = {**TINY, "core": {**TINY["core"], "head": {"hidden": 16, "dropout": 0.0}}}
    settings["train"] = {**TINY["train"], "steps": 5, "accumulation": 2, "weight_decay": 0.1}
    settings["loss"] = {"reconstruction_weight": 0.1, "game": "augmented_lagrangian", "game_every": 2}
    config = fit_to_data(resolved(preset("digits", **settings)), splits)
    with team.process_group(torch.device("cpu")):
        run = supervised_run(config, splits, SilentRun(Path("nowhere")), SilentReporter(5), team=team)
        for dtype in (torch.float64, torch.float32):
            results = train(run, dtype, team)
            if team.leads:
                save_file(results, folder / f"{str(dtype).removeprefix('torch.')}.safetensors")
        assert gloo_threads() or team.world == 1
    # One that outlives the group may abort the process while Python shuts down.
    assert not gloo_threads()


def train(run: Run[Supervised], dtype: torch.dtype, team: Team) -> dict[str, Tensor]:
    model = Thinker(run.task.config.model).to(dtype)
    project_(model)
    trainer = Trainer(model, make_optimizer(model, run.task.config.train), run.task.config, team)
    for step in range(5):
        batches = [(images.to(dtype), labels) for images, labels in run.task.batches(step)]
        assert len(batches) == 2 // team.world
        # One micro-batch of one process is spoilt: no process may take the step.
        spoilt = step == POISONED and team.rank == team.world - 1
        hook = model.cell.blocks().ie.register_hook(lambda grad: grad * torch.nan) if spoilt else None
        result = trainer.step(step, batches)
        assert result.accepted == (step != POISONED)
        if hook is not None:
            hook.remove()
    assert trainer.multipliers is not None
    moved = torch.tensor(trainer.multipliers.as_penalty(), dtype=torch.float64)
    readings = torch.stack((*result.terms.terms.values(), result.terms.total, result.accuracy.double()))
    return {**model.state_dict(), "multipliers": moved, "readings": readings}


def gloo_threads() -> list[str]:
    """Return the names of this process's threads that belong to gloo."""
    names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return [name for name in names if "gloo" in name]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
