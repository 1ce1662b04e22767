"""Tiny configurations and models shared by all tests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from coverage import Coverage

from tide.config import ModelConfig
from tide.config.io import from_dict
from tide.models.load import model_class
from tide.models.thinker import Thinker
from tide.nn.constraints import project_

BASELINES: dict[str, dict[str, Any]] = {
    "ctm": {
        "neurons": 20,
        "ticks": 4,
        "attention_width": 6,
        "heads": 2,
        "synapse_depth": 2,
        "memory_length": 3,
        "hidden": 2,
        "synchrony_out": 7,
        "synchrony_action": 5,
    },
    "lstm": {"neurons": 6, "ticks": 4, "attention_width": 6, "heads": 2, "layers": 2},
}

COUNTED = ("analysis", "nn", "models", "native", "test_config.py", "test_losses.py", "test_objectives.py", "rl")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Count coverage by tests of the model alone: it makes the others, whole commands, take half as long again."""
    coverage = Coverage.current()
    if coverage is None or item.path.relative_to(Path(__file__).parent).parts[0] in COUNTED:
        return (yield)
    coverage.stop()
    try:
        return (yield)
    finally:
        coverage.start()


@pytest.fixture(scope="session", autouse=True)
def signals_arrive() -> None:
    """What ``nohup`` or ``&`` starts ignores signals, and so would the runs that tests start and interrupt."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on many threads, and sums must not depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, with a cache of its own and without a network, or a skipped test."""
    library = pytest.importorskip("datasets", reason="no datasets: pip install 'tide-dynamics[hub]'")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    library.disable_progress_bars()
    return library


@pytest.fixture(scope="session")
def tiny_config() -> Callable[..., ModelConfig]:
    """Return a maker of tiny configurations: 16 + 4 neurons, 4 ticks; keywords change settings of the core.

    With ``kind="ctm"`` or ``"lstm"`` they change those of :data:`BASELINES`.
    """
    base = from_dict(
        ModelConfig,
        {
            "seed": 3,
            "input": {"size": 9, "mean": [0.5], "std": [0.25]},
            "output": {"classes": 4},
            "backbone": {"width": 4, "branch_width": 3, "features": 8},
            "core": {
                "neurons": 20,
                "ticks": 4,
                "attention": {"width": 6, "heads": 2},
                "lateral": {"tolerance": 0.0},
                "neuron_models": {"memory_length": 3, "hidden": 2},
                "synchrony": {"pairs_ee": 9, "pairs_ei": 7, "pairs_ii": 5, "width": 4},
                "memory": {"width": 5},
                "head": {"hidden": 6, "dropout": 0.0},
            },
        },
    )

    def make(**core: Any) -> ModelConfig:
        core = BASELINES.get(core.get("kind", "tide"), {}) | core
        return from_dict(ModelConfig, {"core": core}, base=base)

    return make


@pytest.fixture(scope="session")
def tiny_model(tiny_config: Callable[..., ModelConfig]) -> Callable[..., Thinker]:
    """Return a maker of tiny models whose parameters all matter: none is left at a start value of zero or one."""

    def make(dtype: torch.dtype = torch.float64, seed: int = 0, **core: Any) -> Thinker:
        config = tiny_config(**core)
        model = model_class(config)(config).to(dtype)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
            for name, buffer in model.named_buffers():
                if name in ("cell.memory.memory", "cell.memory.velocity", "backbone.stem.1.running_mean"):
                    buffer += 0.3 * torch.randn(buffer.shape, generator=generator, dtype=dtype)
        project_(model)
        return model

    return make
