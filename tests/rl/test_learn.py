"""Learning to act: exact resume by replay of actions, time limits, evaluation, environments at fault, commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

gym = pytest.importorskip("gymnasium", reason="no gymnasium: pip install 'tide-dynamics[rl]'")

import tide  # noqa: E402
from tests.rl.test_agent import MODELS  # noqa: E402
from tide.cli.main import main  # noqa: E402
from tide.config import base as registry  # noqa: E402
from tide.config.control import ControlConfig  # noqa: E402
from tide.config.io import from_dict, to_dict  # noqa: E402
from tide.errors import CheckpointError, ConfigError, TrainingError  # noqa: E402
from tide.models.control_presets import CONTROL_PRESETS, control_preset  # noqa: E402
from tide.rl.agent import Agent  # noqa: E402
from tide.rl.environments import Environments, EnvironmentTask, seeds_of  # noqa: E402
from tide.rl.evaluate import FINAL, fit, play  # noqa: E402
from tide.rl.learn import Acting  # noqa: E402
from tide.runs.folder import RunFolder  # noqa: E402
from tide.train.report import SilentReporter  # noqa: E402
from tide.train.run import Run  # noqa: E402

SMALL = {
    "steps": 6 * 8 * 6,
    "environments": 6,
    "rollout": 8,
    "episodes": 4,
    "evaluate_every": 6 * 8 * 3,
    "checkpoint_every": 3,
    "epochs": 2,
}


def small(name: str, task: str = "cartpole.small", **train: Any) -> ControlConfig:
    model, core = MODELS[name]
    core = {"ticks": 2} | core if model else {"neurons": 40, "ticks": 2} | core
    return control_preset(model + task, core=core, train=SMALL | train)


def run(config: ControlConfig, path: Path, iterations: int) -> Any:
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(path, config)
    found = Run(Acting(config), folder, SilentReporter(1))
    if folder.last.exists():
        found.resume()
    found.task.cadence = found.task.cadence._replace(steps=iterations)
    found.fit()
    return found


@pytest.mark.parametrize(("name", "task"), [(name, "cartpole.small") for name in MODELS] + [("tide", "acrobot.small")])
def test_three_iterations_and_three_more_equal_six(name: str, task: str, tmp_path: Path) -> None:
    config = small(name, task)
    whole = run(config, tmp_path / "whole", 6)
    run(config, tmp_path / "parted", 3)
    parted = run(config, tmp_path / "parted", 6)
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parted/metrics.jsonl").read_bytes()
    for name_, value in whole.task.model.state_dict().items():
        assert torch.equal(value, parted.task.model.state_dict()[name_]), name_
    lines = RunFolder.open(tmp_path / "whole").metrics("train")
    assert [line["step"] for line in lines] == [48 * (number + 1) for number in range(6)]
    assert lines[-1]["actions_crc"] != lines[-2]["actions_crc"]
    results = RunFolder.open(tmp_path / "whole").results()
    assert results["complete"]
    assert results["step"] == 288


def test_before_any_update_the_second_pass_gives_the_rollout(tmp_path: Path) -> None:
    for name in MODELS:
        task = Acting(small(name))
        task.model.train()
        rollout, _ = task._rollout(0)
        with torch.no_grad():
            out = task.agent.follow(rollout.seen, rollout.first, rollout.begun)
        log_p = out.logits.log_softmax(-1).gather(-1, rollout.actions[..., None]).squeeze(-1)
        torch.testing.assert_close(log_p, rollout.log_prob, rtol=1e-5, atol=1e-5)


class Endless(gym.Env):  # type: ignore[misc]
    """A reward of 1 at every step, ended by the clock alone."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    random = 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        noise = np.random.default_rng().random() * type(self).random
        return np.array([0.5, noise], dtype=np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.array([0.5, 0.0], dtype=np.float32), 1.0, False, False, {}


class Lawless(Endless):
    """Draws from a generator of its own."""

    random = 1.0


class Broken(Endless):
    """Shows what is no number."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.array([np.nan, 0.0], dtype=np.float32), 1.0, False, False, {}


@pytest.fixture
def own() -> Iterator[None]:
    for kind in (Endless, Lawless, Broken):
        name = kind.__name__.lower()
        gym.register(f"{kind.__name__}-v0", entry_point=kind)
        place = f"{kind.__name__}-v0"
        tide.register("environment", name)(lambda place=place: EnvironmentTask(place=place, seen=(0, 1), limit=5))
    yield
    for kind in (Endless, Lawless, Broken):
        registry._BUILDERS["environment"].pop(kind.__name__.lower())
        gym.registry.pop(f"{kind.__name__}-v0")


def in_own(name: str, **train: Any) -> ControlConfig:
    base = small("lstm", **train)
    mapping = to_dict(base) | {"task": {"name": name, "reward_scale": 1.0}, "input": {"kind": "vector", "size": 2}}
    return from_dict(ControlConfig, mapping)


@pytest.mark.usefixtures("own")
def test_an_episode_that_only_runs_out_of_time_goes_on_in_the_value() -> None:
    """γ = 0.5: with the bootstrap every value is 2; taken for an end, values would fall towards the limit."""
    config = in_own("endless", gamma=0.5, learning_rate=5e-3, epochs=4, steps=6 * 8 * 60, entropy=0.0, value=1.0)
    task = Acting(config)
    for number in range(60):
        task.step(number)
    rollout, _ = task._rollout(60)
    assert rollout.returns.mean().item() == pytest.approx(2.0, abs=0.15)
    assert rollout.returns.std().item() < 0.1


@pytest.mark.usefixtures("own")
def test_an_environment_that_is_no_function_of_seed_and_actions_is_refused_on_resume(tmp_path: Path) -> None:
    config = in_own("lawless")
    folder = RunFolder.create(tmp_path / "run", config)
    first = Run(Acting(config), folder, SilentReporter(1))
    first.task.cadence = first.task.cadence._replace(steps=3)
    state = first.task.state_dict()
    with pytest.raises(CheckpointError, match=r"environment 0 must come back to where it was, Lawless-v0 of gymnasium"):
        Acting(config).load_state_dict(state)


@pytest.mark.usefixtures("own")
def test_an_environment_at_fault_is_named() -> None:
    task = Acting(in_own("broken"))
    with pytest.raises(TrainingError, match="observations must be finite, environment 0 gave others in its episode 0"):
        task.step(0)


def test_episodes_are_fixed_and_do_not_depend_on_their_neighbours() -> None:
    config = small("lstm")
    agent = Agent(tide.create("lstm.cartpole.small"))
    few, many = (play(agent, config, FINAL, count, greedy=False) for count in (2, 5))
    assert few.returns.tolist() == many.returns[:2].tolist()
    assert (few.lengths == few.returns).all()
    seeds = seeds_of(1, 2)
    assert len({seeds(i, e) for i in range(20) for e in range(20)}) == 400


def test_replay_arrives_where_it_was_and_goes_on_alike() -> None:
    for name in ("cartpole", "acrobot"):
        config = control_preset(f"{name}.small").task
        one, generator = Environments(config, 3, seeds_of(7)), torch.Generator().manual_seed(1)
        one.reset()
        for _ in range(40):
            stepped = one.step(torch.randint(one.actions, (3,), generator=generator))
        other = Environments(config, 3, seeds_of(7))
        other.load_state_dict(one.state_dict(), stepped.seen)
        for _ in range(60):
            actions = torch.randint(one.actions, (3,), generator=generator)
            a, b = one.step(actions), other.step(actions)
            assert torch.equal(a.seen, b.seen)
            assert a.returns == b.returns


def test_a_read_out_finds_what_is_linear() -> None:
    random = np.random.default_rng(0)
    features, weights = random.normal(size=(400, 5)) * [1, 10, 0.1, 1, 1], random.normal(size=(5, 2))
    truth = features @ weights + 3
    found = fit(features, truth, ridge=1e-9)(features)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task.name", "pong"], "task.name must be one of cartpole, acrobot, four_rooms"),
        (["--task.seen", "0", "9"], "task.seen must name components 0 to 3, got [9]"),
        (["--train.minibatches", "3"], "train.minibatches must divide train.environments = 64, got 3"),
        (["--train.steps", "100"], "train.steps must be at least one rollout of 64 x 32 = 2048, got 100"),
        (["--output.critic", "0"], "output.critic must be at least 1 for a model that acts, got 0"),
        (["--device", "cuda"], "--device must be cpu for a model that acts, got cuda"),
    ],
)
def test_bad_settings_give_one_line(arguments: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["train", "cartpole.small", "--out", str(tmp_path / "run"), *arguments]) == 2
    captured = capsys.readouterr().err.strip().splitlines()
    assert message in captured[-1]
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("act") / "run"
    flat = [part for key, value in SMALL.items() for part in (f"--train.{key.replace('_', '-')}", str(value))]
    assert main(["train", "cartpole.small", *flat, "--out", str(path), "--threads", "1"]) == 0
    return path


def test_a_run_is_evaluated_shown_and_animated(trained: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["eval", str(trained), "--episodes", "3", "--out", str(tmp_path / "eval.json")]) == 0
    text = capsys.readouterr().out
    assert "as trained" in text
    assert "pole velocity" in text
    numbers = json.loads((tmp_path / "eval.json").read_text())
    assert len(numbers["as trained"]["returns"]) == 3
    assert main(["show", str(trained), "--out", str(tmp_path / "training.png")]) == 0
    assert main(["show", str(trained), "2", "--out", str(tmp_path / "episode.png")]) == 0
    assert main(["show", str(trained), "2", "--animate", str(tmp_path / "episode.gif")]) == 0
    for name in ("training.png", "episode.png", "episode.gif"):
        assert (tmp_path / name).stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "RUN", "100"], "episode must be 0 to 99, got '100'"),
        (["show", "RUN", "--animate", "x.gif"], "--animate shows one episode: give its number"),
        (["eval", "RUN", "--episodes", "0"], "--episodes must be at least 1, got 0"),
        (["robustness", "RUN"], "acts in an environment"),
        (["predict", "RUN", "x.png"], "the model acts in an environment"),
    ],
)
def test_what_does_not_fit_a_run_that_acts_gives_one_line(
    arguments: list[str], message: str, trained: Path, capsys: Any
) -> None:
    assert main([str(trained) if word == "RUN" else word for word in arguments]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_killed_run_goes_on_as_if_nothing_had_happened(trained: Path, tmp_path: Path) -> None:
    options = [part for key, value in SMALL.items() for part in (f"--train.{key.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "tide", "train"]
    out = tmp_path / "run"
    arguments = [*command, "cartpole.small", *options, "--out", str(out), "--threads", "1"]
    process = subprocess.Popen(arguments, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        log = out / "metrics.jsonl"
        if log.is_file() and log.read_text().count('"train"') >= 2:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) in (0, 143)
    assert main(["train", "--resume", str(out), "--threads", "1"]) == 0
    assert (out / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()


def test_published_sizes_have_the_published_numbers_of_parameters() -> None:
    counts = {
        "ctm.cartpole": 175_437,
        "lstm.cartpole": 175_855,
        "cartpole": 128_452,
        "ctm.acrobot": 350_094,
        "lstm.acrobot": 350_118,
        "acrobot": 204_475,
        "cartpole.small": 50_906,
        "ctm.cartpole.small": 68_317,
        "lstm.cartpole.small": 55_899,
    }
    for name, count in counts.items():
        assert sum(p.numel() for p in tide.create(name).parameters()) == count, name
    assert set(counts) < set(CONTROL_PRESETS)


def test_a_controller_can_be_certified_to_contract() -> None:
    core = {"norm": "rms_cap", "guarantee": "contraction", "neuron_models": {"feedback": False}}
    config = control_preset("cartpole.small", core={"neurons": 40} | core, train=SMALL)
    task = Acting(config)
    for number in range(3):
        task.step(number)
    rate = task.model.cell.certified_rate()
    assert rate is not None
    assert rate < 1


def test_settings_that_cannot_be_are_refused() -> None:
    base = control_preset("ctm.cartpole.small")
    with pytest.raises(ConfigError, match=r"core\.window must be off but for core\.selection first-last"):
        replace(base.core, selection="random")
    with pytest.raises(ConfigError, match=r"train\.ei_weight must be 0 with core ctm"):
        replace(base, train=replace(base.train, ei_weight=0.1))
    with pytest.raises(ConfigError, match=r"unknown preset 'anytime\.cartpole'"):
        control_preset("anytime.cartpole")
