"""AdamW with its parameter groups, gradient norms by component, clipping (equations §5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tide.config import ClipConfig, TrainConfig
from tide.models.thinker import Thinker

REMEMBERED = 1_000  # norms of steps


def decays(name: str, parameter: Tensor) -> bool:
    """Say whether weight decay applies: to matrices and kernels, not to biases, gains, decays and start states."""
    own = name.rpartition(".")[2]
    return parameter.dim() >= 2 and not own.endswith("bias") and not own.startswith("start")


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW with one group that decays and one that does not."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if decays(name, p)], "weight_decay": config.weight_decay},
        {"params": [p for name, p in named if not decays(name, p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Any) -> None:
    """Load an optimiser's state, whose settings and shapes must be those of ``optimizer``.

    Raises:
        ValueError: they are not; KeyError or TypeError for what is no state of an optimiser.
    """
    fresh = [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for before, group in zip(fresh, optimizer.param_groups, strict=True):
        if any(group.get(name) != value for name, value in before.items()):
            raise ValueError("the optimiser has other settings")
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for name, value in optimizer.state.get(parameter, {}).items():
                wanted = () if name == "step" else parameter.shape
                if not isinstance(value, Tensor) or value.shape != wanted or not value.is_floating_point():
                    raise ValueError(f"the optimiser's {name} is of another shape or type than its parameter")


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Return the global norm of the gradients, summed in float64: squares of finite gradients must not overflow."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    wide = torch.float32 if gradients[0].device.type == "mps" else torch.float64  # which Apple's GPUs lack
    return torch.stack(torch._foreach_norm(gradients, 2, dtype=wide)).square().sum().sqrt()


def component_parameters(model: Thinker) -> dict[str, list[Tensor]]:
    """Return the trained parameters by component name."""
    return {name: [p for p in members if p.requires_grad] for name, members in model.components().items()}


class NormHistory:
    """The gradient norms of the last accepted steps, whose quantile bounds the next (AutoClip, arXiv:2007.14469)."""

    def __init__(self) -> None:
        self._norms: list[float] = []

    def bound(self, norm: Tensor, quantile: float) -> float:
        """Note a norm and return the quantile of all that are remembered."""
        self._norms = [*self._norms[1 - REMEMBERED :], float(norm)]
        return float(torch.tensor(self._norms, dtype=torch.float64).quantile(quantile))

    def state_dict(self) -> list[float]:
        """Return what is remembered."""
        return list(self._norms)

    def load_state_dict(self, state: Sequence[float]) -> None:
        """Continue from :meth:`state_dict`."""
        self._norms = [float(norm) for norm in state]


def clip_gradients_(model: Thinker, config: ClipConfig, norm: Tensor, history: NormHistory) -> None:
    """Clip by the norm of each component that has a bound, then by the global norm, which is ``norm`` before both."""
    parameters, components = list(model.parameters()), component_parameters(model)
    bounded = [name for name in components if getattr(config, name) is not None]
    for name in bounded:
        _scale_(components[name], getattr(config, name), gradient_norm(components[name]))
    if config.quantile is not None:
        now = gradient_norm(parameters) if bounded else norm
        _scale_(parameters, history.bound(now, config.quantile), now)
    if config.total is not None:
        _scale_(parameters, config.total, gradient_norm(parameters) if bounded or config.quantile else norm)


def _scale_(parameters: Sequence[Tensor], highest: float, norm: Tensor) -> None:
    gradients = [p.grad for p in parameters if p.grad is not None]
    if gradients:
        factor = (highest / (norm + 1e-12)).clamp(max=1.0)
        torch._foreach_mul_(gradients, factor.to(gradients[0]))
