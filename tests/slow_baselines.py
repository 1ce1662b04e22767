"""The baselines again, slowly: one sample, one neuron, one pair, one tick at a time, in float64.

Written from Darlow et al., Continuous Thought Machines, arXiv:2505.05522, not from the package: nothing here calls
``tide``. Parameters come by the package's names; shapes are noted where they matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tests import slow
from tests.slow import Parameters, Vector, glu, layer_norm, linear, sigmoid, under


def silu(x: Vector) -> Vector:
    return np.array([v * sigmoid(v) for v in x])


def affine(x: Vector, p: Parameters, name: str) -> Vector:
    return linear(x, p[f"{name}.weight"], p[f"{name}.bias"])


def norm(x: Vector, p: Parameters, name: str) -> Vector:
    return layer_norm(x, p[f"{name}.weight"], p[f"{name}.bias"])


def attention(latent: Vector, tokens: np.ndarray, p: Parameters, heads: int) -> tuple[Vector, np.ndarray]:
    """Linear and LayerNorm on the tokens, Linear on the query, and three projections more inside the attention."""
    width = len(p["output.weight"])
    inner = [(p["inner"][k * width : (k + 1) * width], p["inner_bias"][k * width : (k + 1) * width]) for k in range(3)]
    read = [norm(affine(token, p, "tokens"), p, "token_norm") for token in tokens]
    query = linear(affine(latent, p, "query"), *inner[0])
    keys, values = ([linear(token, *inner[k]) for token in read] for k in (1, 2))
    output, weights = slow.multi_head(query, keys, values, heads)
    return affine(output, p, "output"), weights


def level(x: Vector, p: Parameters, name: str) -> Vector:
    """Linear, LayerNorm, SiLU of one level of the U-Net (after its dropout)."""
    return silu(norm(affine(x, p, f"{name}.1"), p, f"{name}.2"))


def synapses(x: Vector, p: Parameters, depth: int) -> Vector:
    if depth == 1:
        return norm(glu(affine(x, p, "layers.1")), p, "layers.3")
    down = [silu(norm(affine(x, p, "first.0"), p, "first.1"))]
    for k in range(depth - 1):
        down.append(level(down[-1], p, f"down.{k}"))
    value = down[-1]
    for k in reversed(range(depth - 1)):
        # The level that widens again to the width of ``down[k]`` is numbered as the one that narrowed from it.
        value = norm(level(value, p, f"up.{k}") + down[k], p, f"norms.{k}")
    return value


def neuron_model(history: Sequence[float], p: Parameters, neuron: int, layers: int) -> float:
    """One neuron's own network; ``weight`` (inputs, outputs, D), ``bias`` (1, D, outputs), ``temperature`` (1,)."""
    values = np.array(history)
    for k in range(layers):
        layer = under(p, f"layers.{k}")
        if "norm.weight" in layer:
            values = norm(values, layer, "norm")
        raw = linear(values, layer["weight"][:, :, neuron].T, layer["bias"][0, neuron])
        values = glu(raw / layer["temperature"][0])
    (value,) = values
    return float(value)


def pairs(p: Parameters) -> list[tuple[int, int, float]]:
    return list(zip(p["left"].astype(int), p["right"].astype(int), p["decay"], strict=True))


def synchrony(seen: Sequence[Vector], p: Parameters) -> Vector:
    return np.array([slow.synchronisation(seen, i, j, decay) for i, j, decay in pairs(p)])


def stacked(records: list[list[dict[str, Vector]]]) -> dict[str, np.ndarray]:
    """(B, T, ...) of every quantity; logits (B, C, T)."""
    names = records[0][0]
    out = {name: np.array([[tick[name] for tick in sample] for sample in records]) for name in names}
    out["certainty"] = np.array([[slow.certainty(tick["logits"]) for tick in sample] for sample in records])
    return out | {"logits": out["logits"].transpose(0, 2, 1)}


def ctm(tokens: np.ndarray, p: Parameters, core, ticks: int) -> dict[str, np.ndarray]:
    """Tokens (B, N, d_kv) → everything recorded, logits and certainty."""
    attend, synapse, models, action, out = (
        under(p, name) for name in ("attention", "synapses", "trace_models", "synchrony_action", "synchrony_out")
    )
    records = []
    for sample in tokens:
        history, seen, ticked = [list(trace) for trace in p["start_history"]], [p["start"]], []
        for _ in range(ticks):
            steering = synchrony(seen, action)
            read, weights = attention(steering, sample, attend, core.heads)
            pre = synapses(np.concatenate((read, seen[-1])), synapse, core.synapse_depth)
            history = [[*trace[1:], newest] for trace, newest in zip(history, pre, strict=True)]
            post = [neuron_model(trace, models, n, 2 if core.deep else 1) for n, trace in enumerate(history)]
            seen.append(np.array(post))
            result = synchrony(seen, out)
            ticked.append(
                {"pre_activations": pre, "post_activations": seen[-1], "synch_action": steering, "attention": weights}
                | {"synch_out": result, "synchrony": result, "logits": affine(result, p, "head")}
            )
        records.append(ticked)
    return stacked(records)


def lstm_layer(x: Vector, hidden: Vector, memory: Vector, p: Parameters, k: int) -> tuple[Vector, Vector]:
    """One LSTM cell (Hochreiter and Schmidhuber, 1997); rows of the weights: input, forget, candidate, output gate."""
    from_input = linear(x, p[f"weight_ih_l{k}"], p[f"bias_ih_l{k}"])
    raw = from_input + linear(hidden, p[f"weight_hh_l{k}"], p[f"bias_hh_l{k}"])
    size = len(hidden)
    after = np.zeros(size), np.zeros(size)
    for n in range(size):
        enter, forget, leave = (sigmoid(raw[block * size + n]) for block in (0, 1, 3))
        after[1][n] = forget * memory[n] + enter * math.tanh(raw[2 * size + n])
        after[0][n] = leave * math.tanh(after[1][n])
    return after


def lstm(tokens: np.ndarray, p: Parameters, core, ticks: int) -> dict[str, np.ndarray]:
    """Tokens (B, N, d_kv) → everything recorded, logits and certainty."""
    attend, layers = under(p, "attention"), under(p, "lstm")
    records = []
    for sample in tokens:
        hidden, memory, ticked = list(p["start_hidden"]), list(p["start_memory"]), []
        for _ in range(ticks):
            value, weights = attention(hidden[-1], sample, attend, core.heads)
            for k in range(core.layers):
                hidden[k], memory[k] = lstm_layer(value, hidden[k], memory[k], layers, k)
                value = hidden[k]
            ticked.append(
                {"post_activations": value, "pre_activations": np.zeros(len(value)), "cell_state": memory[-1]}
                | {"attention": weights, "logits": affine(value, p, "head")}
            )
        records.append(ticked)
    return stacked(records)
