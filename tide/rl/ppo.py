"""Proximal policy optimisation over whole sequences (arXiv:1707.06347); generalised advantages (arXiv:1506.02438)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def advantages(
    rewards: Tensor,
    values: Tensor,
    first: Tensor,
    next_value: Tensor,
    next_first: Tensor,
    *,
    gamma: float = 0.99,
    gae: float = 0.95,
) -> Tensor:
    """Return A_t = δ_t + γ λ (1 − first_{t+1}) A_{t+1}, δ_t = r_t + γ V_{t+1} (1 − first_{t+1}) − V_t, all (S, B).

    ``first`` (S, B) bool: the observation of this step is the first of an episode; ``next_...`` (B,) are of the step
    after the last.
    """
    following = torch.cat((values[1:], next_value[None]))
    goes_on = 1 - torch.cat((first[1:], next_first[None])).to(values)
    deltas = rewards + gamma * following * goes_on - values
    found, later = torch.zeros_like(values), torch.zeros_like(next_value)
    for step in reversed(range(len(rewards))):
        found[step] = later = deltas[step] + gamma * gae * goes_on[step] * later
    return found


class PolicyLoss(NamedTuple):
    """Total and its parts, scalars; ``kl`` and ``clipped`` are readings: how far the policy moved since the rollout."""

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor
    clipped: Tensor


def policy_loss(
    logits: Tensor,
    values: Tensor,
    actions: Tensor,
    old_log_prob: Tensor,
    advantage: Tensor,
    returns: Tensor,
    *,
    clip: float = 0.1,
    entropy: float = 0.1,
    value: float = 0.25,
) -> PolicyLoss:
    """Return the clipped loss of a minibatch of whole sequences: logits (S, b, A), all others (S, b).

    Advantages are normalised within the minibatch, with the unbiased deviation; the value is not clipped.
    """
    log_p = torch.log_softmax(logits, -1)
    log_ratio = log_p.gather(-1, actions[..., None]).squeeze(-1) - old_log_prob
    ratio = log_ratio.exp()
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    policy = torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)).mean()
    of_value = 0.5 * (values - returns).square().mean()
    spread = -(log_p.exp() * log_p).sum(-1).mean()
    with torch.no_grad():
        kl, clipped = (ratio - 1 - log_ratio).mean(), ((ratio - 1).abs() > clip).to(values).mean()
    return PolicyLoss(policy - entropy * spread + value * of_value, policy, of_value, spread, kl, clipped)
