"""One episode of a model that acts: the scene, its neurons, and what it knows of what it is not shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from tide.config.control import ControlConfig
from tide.evaluate.thinking import handed_on
from tide.plots.axes import COLOURS
from tide.rl.agent import Agent
from tide.rl.environments import Environments
from tide.rl.evaluate import DECODING, FINAL, fit, play

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
SCENE = 240  # pixels of the scene's height in an animation
SECOND = 0.05  # of an environment step in an animation


@dataclass(frozen=True)
class Episode:
    """One episode of L steps.

    ``scene`` a picture for each; ``rates`` (L, D), excitatory neurons first, ``n_e`` of them; ``probabilities`` (L, A)
    of the ``actions``; ``value`` (L,); ``hidden`` and what a linear read-out of the rates says of it, by name, (L,).
    """

    title: str
    scene: list[npt.NDArray[np.uint8]]
    rates: Array
    n_e: int
    probabilities: Array
    actions: Sequence[str]
    value: Array
    hidden: dict[str, Array]
    decoded: dict[str, Array]


def live(agent: Agent, config: ControlConfig, number: int, *, fitted: int = 16) -> Episode:
    """Let a model live through fixed episode ``number``; its read-out is fitted on so many others."""
    names = handed_on(agent.model.cell)
    rows: list[dict[str, Any]] = []

    def watcher(keep: int | None, into: list[dict[str, Any]]) -> Any:
        def watch(environments: Environments, seen: Tensor, out: Any) -> None:
            began = np.flatnonzero(environments.episode == 0) if keep is None else np.array([keep])
            if keep is not None and environments.episode[keep] > 0:
                return
            activity = np.concatenate([out.trace[name][0, -1].double().numpy()[began] for name in names], 1)
            hidden = {name: np.array(values)[began] for name, values in environments.hidden().items()}
            row = {"activity": activity, "hidden": hidden}
            if keep is not None:
                row |= {
                    "scene": environments.pictures()[keep],
                    "p": out.logits[0, keep].softmax(-1).double().numpy(),
                    "value": float(out.value[0, keep]),
                }
            into.append(row)

        return watch

    play(
        agent, config, FINAL, number + 1, greedy=False, watch=watcher(number, rows), record=names,
        render_mode="rgb_array",
    )  # fmt: skip
    activity = np.concatenate([row["activity"] for row in rows])
    hidden = {name: np.concatenate([row["hidden"][name] for row in rows]) for name in rows[0]["hidden"]}
    decoded: dict[str, Array] = {}
    if hidden:
        others: list[dict[str, Any]] = []
        play(agent, config, DECODING, fitted, greedy=False, watch=watcher(None, others), record=names)
        known = np.concatenate([row["activity"] for row in others])
        truth = np.stack([np.concatenate([row["hidden"][name] for row in others]) for name in hidden], 1)
        decoded = dict(zip(hidden, fit(known, truth)(activity).T, strict=True))
    blocks = agent.model.cell.blocks()
    return Episode(
        title=f"{config.task.name}, episode {number}: {config.core.population}, {len(rows)} steps",
        scene=[row["scene"] for row in rows],
        rates=activity,
        n_e=blocks.ee.shape[0] if blocks is not None else 0,
        probabilities=np.stack([row["p"] for row in rows]),
        actions=config.output.labels,
        value=np.array([row["value"] for row in rows]),
        hidden=hidden,
        decoded=decoded,
    )


def draw_episode(episode: Episode) -> Figure:
    """Draw a scene in the middle of it, rates, hidden and decoded quantities, actions and value over the steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    figure.suptitle(episode.title)
    grid = figure.add_gridspec(2 + max(1, len(episode.hidden)), 3)
    scene = figure.add_subplot(grid[:2, 0])
    middle = len(episode.scene) // 2
    scene.imshow(episode.scene[middle])
    scene.set_axis_off()
    scene.set_title(f"step {middle + 1}", fontsize=10)
    rates = figure.add_subplot(grid[:2, 1:])
    shown = episode.rates[:, order(episode)].T
    image = rates.imshow(shown, aspect="auto", cmap="magma", interpolation="nearest", vmax=np.quantile(shown, 0.995))
    if episode.n_e:
        rates.axhline(episode.n_e - 0.5, color="white", linewidth=1)
    rates.set_ylabel("neurons, E above I" if episode.n_e else "neurons")
    by = next(iter(episode.hidden), None)
    rates.set_title(f"rates{f', ordered by correlation with {by}' if by else ''}", fontsize=10)
    figure.colorbar(image, ax=rates, pad=0.01)
    for row, name in enumerate(episode.hidden):
        axes = figure.add_subplot(grid[2 + row, :2])
        axes.plot(episode.hidden[name], color="black", label=f"{name}, never shown")
        axes.plot(episode.decoded[name], color=COLOURS[0], linewidth=1, label="linear read-out of the rates")
        axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
        axes.set_xlabel("environment step")
        axes.grid(alpha=0.3)
    policy = figure.add_subplot(grid[2:, 2])
    for colour, action, p in zip(COLOURS, episode.actions, episode.probabilities.T, strict=False):
        policy.plot(p, color=colour, linewidth=1, label=action)
    policy.set_ylim(-0.02, 1.02)
    value = policy.twinx()
    value.plot(episode.value, color="0.5", linestyle=":", label="value")
    value.set_ylabel("value (dotted)")
    policy.set_xlabel("environment step")
    policy.set_title("probability of each action", fontsize=10)
    policy.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, frameon=False)
    return figure


def order(episode: Episode) -> npt.NDArray[np.int64]:
    """Return the neurons, excitatory first, each population by its correlation with the first hidden quantity."""
    quantity = next(iter(episode.hidden.values()), np.arange(len(episode.rates)).astype(float))
    rates = episode.rates - episode.rates.mean(0)
    along = rates.T @ (quantity - quantity.mean()) / (np.linalg.norm(rates, axis=0) + 1e-12)
    cut = episode.n_e
    return np.concatenate((np.argsort(along[:cut]), cut + np.argsort(along[cut:])))


def frames_of(episode: Episode) -> list[Image.Image]:
    """Return a frame for each environment step: the scene, below it the hidden quantity and what is known of it."""
    return list(_frames(episode))


def _frames(episode: Episode) -> Iterator[Image.Image]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    name = list(episode.hidden)[-1] if episode.hidden else None
    rates, brightest = episode.rates[:, order(episode)], np.quantile(episode.rates, 0.995)
    for step, scene in enumerate(episode.scene):
        figure = Figure(figsize=(4.2, 4.4), dpi=80, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        top, middle, bottom = figure.subplots(3, 1, height_ratios=(2.2, 1, 1))
        top.imshow(scene)
        top.set_axis_off()
        middle.imshow(rates[max(0, step - 40) : step + 1].T, aspect="auto", cmap="magma", vmax=brightest)
        middle.set_xticks([])
        middle.set_ylabel("neurons", fontsize=7)
        middle.tick_params(labelsize=6)
        if name is not None:
            bottom.plot(episode.hidden[name][: step + 1], color="black", linewidth=1.2, label=f"{name}, never shown")
            bottom.plot(episode.decoded[name][: step + 1], color=COLOURS[0], linewidth=1, label="read from its neurons")
            both = np.concatenate((episode.hidden[name], episode.decoded[name]))
            bottom.set_ylim(both.min(), both.max())
            bottom.legend(fontsize=6, loc="upper left", ncols=2)
        bottom.set_xlim(0, len(episode.scene))
        bottom.tick_params(labelsize=6)
        canvas.draw()  # type: ignore[no-untyped-call]
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]
