"""The equations again, slowly: one sample, one neuron, one pair, one tick at a time, in float64.

Written from ``docs/equations.md`` (§2, §3 and the center-surround unit of §6), not from the package: nothing here calls
``tide`` and nothing is fast. Vectors are NumPy arrays of float64; a function takes one sample unless it says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

Vector = np.ndarray
Parameters = Mapping[str, np.ndarray]


def linear(x: Vector, weight: np.ndarray, bias: Vector) -> Vector:
    return np.array([sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)])


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def softmax(x: Vector) -> Vector:
    exps = np.array([math.exp(v - max(x)) for v in x])
    return exps / exps.sum()


def glu(x: Vector) -> Vector:
    half = len(x) // 2
    return np.array([x[k] * sigmoid(x[half + k]) for k in range(half)])


def gelu(x: Vector) -> Vector:
    return np.array([0.5 * v * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x])


def layer_norm(x: Vector, gain: Vector, bias: Vector, epsilon: float = 1e-5) -> Vector:
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return np.array([g * (v - mean) / math.sqrt(variance + epsilon) + b for v, g, b in zip(x, gain, bias, strict=True)])


def mlp(x: Vector, p: Parameters, name: str) -> Vector:
    hidden = gelu(linear(x, p[f"{name}.0.weight"], p[f"{name}.0.bias"]))
    return linear(hidden, p[f"{name}.2.weight"], p[f"{name}.2.bias"])


# §2.1


def multi_head(
    query: Vector, keys: Sequence[Vector], values: Sequence[Vector], heads: int
) -> tuple[Vector, np.ndarray]:
    """What all heads read, one after the other, and their weights (heads, N)."""
    size = len(query) // heads
    weights, read = np.zeros((heads, len(keys))), np.zeros(len(query))
    for head in range(heads):
        part = range(head * size, (head + 1) * size)
        scores = [sum(query[k] * key[k] for k in part) / math.sqrt(size) for key in keys]
        weights[head] = softmax(np.array(scores))
        for k in part:
            read[k] = sum(weight * value[k] for weight, value in zip(weights[head], values, strict=True))
    return read, weights


def attention(latent: Vector, tokens: np.ndarray, p: Parameters, heads: int) -> tuple[Vector, np.ndarray]:
    """Output (d_attn) and weights (heads, N); ``tokens`` is (N, d_kv). With skip weights, the residual form."""
    query = linear(latent, p["query.weight"], p["query.bias"])
    keys = [linear(token, p["key.weight"], p["key.bias"]) for token in tokens]
    values = [linear(token, p["value.weight"], p["value.bias"]) for token in tokens]
    read, weights = multi_head(query, keys, values, heads)
    output = linear(read, p["output.weight"], p["output.bias"])
    if "skip.weight" in p:
        output = output + linear(latent, p["skip.weight"], p["skip.bias"])
    return layer_norm(output, p["norm.weight"], p["norm.bias"]), weights


# §2.2, §2.3


def activation(h: float, kind: str) -> float:
    return max(h, 0.0) if kind == "relu" else math.log1p(math.exp(-abs(h))) + max(h, 0.0)


def rms(h: Vector) -> float:
    return math.sqrt(sum(v * v for v in h) / len(h))


def divisors(h_e: Vector, h_i: Vector, norm: str) -> tuple[float, float]:
    """What the norm divides each population by: its rms, max(1, rms), the rms of all neurons, or nothing."""
    if norm == "none":
        return 1.0, 1.0
    if norm == "rms_shared":
        return (rms(np.concatenate((h_e, h_i))),) * 2
    if norm == "layer":  # of centred pre-activations, which may be small
        return math.sqrt(rms(h_e) ** 2 + 1e-12), math.sqrt(rms(h_i) ** 2 + 1e-12)
    return (rms(h_e), rms(h_i)) if norm == "rms" else (max(1.0, rms(h_e)), max(1.0, rms(h_i)))


def wilson_cowan(
    r_e: Vector, r_i: Vector, drive: Vector, p: Parameters, alpha: tuple[float, float], kind: str, norm: str
) -> dict[str, Vector]:
    """One Euler step; ``drive`` is U o + b of all neurons. Without w_ei nothing inhibits E."""
    n_e, n_i = len(r_e), len(r_i)
    h_e, h_i = np.zeros(n_e), np.zeros(n_i)
    for i in range(n_e):
        h_e[i] = drive[i] + sum(p["w_ee"][i, j] * r_e[j] for j in range(n_e))
        if "w_ei" in p:
            h_e[i] -= sum(p["w_ei"][i, j] * r_i[j] for j in range(n_i))
    for i in range(n_i):
        h_i[i] = drive[n_e + i] + sum(p["w_ie"][i, j] * r_e[j] for j in range(n_e))
        h_i[i] -= sum(p["w_ii"][i, j] * r_i[j] for j in range(n_i))
    if norm == "layer":
        h_e, h_i = h_e - np.mean(h_e), h_i - np.mean(h_i)
    by_e, by_i = divisors(h_e, h_i, norm)
    h_e = np.array([g * v / by_e for g, v in zip(p["gain"][:n_e], h_e, strict=True)])
    h_i = np.array([g * v / by_i for g, v in zip(p["gain"][n_e:], h_i, strict=True)])
    if "offset" in p:
        h_e, h_i = h_e + p["offset"][:n_e], h_i + p["offset"][n_e:]
    phi_e, phi_i = (np.array([activation(v, kind) for v in h]) for h in (h_e, h_i))
    return {
        "rates_e": (1 - alpha[0]) * r_e + alpha[0] * phi_e,
        "rates_i": (1 - alpha[1]) * r_i + alpha[1] * phi_i,
        "preactivation_e": h_e,
        "preactivation_i": h_i,
        "activation": np.concatenate((phi_e, phi_i)),
    }


def ei_ratio(r_e: Vector, r_i: Vector, normalization: str = "sum") -> float:
    if normalization == "per_neuron":
        return (sum(r_e) / len(r_e)) / (sum(r_i) / len(r_i) + 1e-6)
    return sum(r_e) / (sum(r_i) + 1e-6)


# §2.4


def lateral(rates: Vector, w_in: np.ndarray, w_out: np.ndarray, gamma: float, iterations: int) -> list[Vector]:
    """All iterates e⁰ … e^K."""
    iterates = [rates]
    for _ in range(iterations):
        pool = [max(0.0, sum(w * e for w, e in zip(row, iterates[-1], strict=True))) for row in w_in]
        damped = [
            max(0.0, rates[i] - gamma * sum(w * a for w, a in zip(w_out[i], pool, strict=True)))
            for i in range(len(rates))
        ]
        iterates.append(np.array(damped))
    return iterates


# §2.5, §2.6


def fifo(entries: Sequence[float], length: int) -> list[float]:
    """What a queue of ``length`` zeros holds after all ``entries`` were pushed, oldest first."""
    queue = [0.0] * length
    for entry in entries:
        queue.append(entry)
        queue.pop(0)
    return queue


def kernel(length: int, tau: float, dt: float) -> Vector:
    """Oldest entry first."""
    raw = [math.exp(-(length - 1 - m) * dt / tau) for m in range(length)]
    return np.array(raw) / sum(raw)


def neuron_model(
    history: Sequence[float], weighting: Vector, first: np.ndarray, bias: Vector, second: np.ndarray, bias_2: Vector
) -> float:
    """The correction c of one neuron; ``first`` is (M, 2h), ``second`` (h, 2)."""
    weighted = np.array([k * r for k, r in zip(weighting, history, strict=True)])
    return float(glu(linear(glu(linear(weighted, first.T, bias)), second.T, bias_2))[0])


# §2.7


def synchronisation(rates: Sequence[Vector], left: int, right: int, decay: float) -> float:
    """One pair by the defining sums over all ticks, start rates (tick 0) included."""
    last = len(rates) - 1
    products = sum(math.exp(-decay * (last - t)) * r[left] * r[right] for t, r in enumerate(rates))
    return products / math.sqrt(sum(math.exp(-decay * (last - t)) for t in range(len(rates))))


def latent(synchrony: Vector, sizes: Sequence[int], p: Parameters, epsilon: float = 1e-5) -> Vector:
    streams, start = [], 0
    for k, size in enumerate(sizes):
        part = synchrony[start : start + size]
        streams.append(linear(part, p[f"streams.{k}.weight"], p[f"streams.{k}.bias"]))
        start += size
    return layer_norm(np.concatenate(streams), p["norm.weight"], p["norm.bias"], epsilon)


# §2.8


def gate(ratio: float, target: float, sharpness: float) -> float:
    return math.exp(-activation(sharpness, "softplus") * (ratio - target) ** 2)


def memory_run(
    latents: np.ndarray, ratios: np.ndarray, p: Parameters, target: float, momentum: float, rate: float, shared: bool
) -> dict[str, np.ndarray]:
    """The literal memory, tick by tick, of a whole batch: ``latents`` (B, T, d_z), ``ratios`` (B, T).

    ``shared`` is the single buffer: every sample reads it, and the mean of all samples' updates moves it.
    """
    batch, ticks = ratios.shape
    out = {"memory": np.zeros((batch, ticks, len(p["memory"]))), "velocity": np.zeros((batch, ticks, len(p["memory"])))}
    out |= {name: np.zeros((batch, ticks)) for name in ("surprise", "gate")}
    memory, velocity = [p["memory"]] * batch, [p["velocity"]] * batch
    for t in range(ticks):
        updates = []
        for b in range(batch):
            rebuilt = mlp(memory[b], p, "reconstruct")
            surprise = sum((x - y) ** 2 for x, y in zip(rebuilt, latents[b, t], strict=True)) / len(rebuilt)
            strength = gate(ratios[b, t], target, float(p["sharpness"]))
            out["surprise"][b, t], out["gate"][b, t] = surprise, strength
            updates.append(strength * sigmoid(surprise) * (mlp(latents[b, t], p, "project") - memory[b]))
        if shared:
            updates = [sum(updates) / batch] * batch
        for b in range(batch):
            velocity[b] = momentum * velocity[b] + (1 - momentum) * updates[b]
            memory[b] = memory[b] + rate * velocity[b]
            out["memory"][b, t], out["velocity"][b, t] = memory[b], velocity[b]
    return out


# §2.9


def head(latent_state: Vector, memory: Vector, p: Parameters, epsilon: float = 1e-5) -> Vector:
    hidden = glu(linear(np.concatenate((latent_state, memory)), p["layers.1.weight"], p["layers.1.bias"]))
    hidden = layer_norm(hidden, p["layers.3.weight"], p["layers.3.bias"], epsilon)
    return linear(hidden, p["layers.4.weight"], p["layers.4.bias"])


def certainty(logits: Vector) -> float:
    entropy = -sum(p * math.log(p) for p in softmax(logits) if p > 0)
    return 1 - entropy / math.log(len(logits))


# §3


def effective_matrix(p: Parameters) -> np.ndarray:
    n_e, n_i = len(p["w_ee"]), len(p["w_ii"])
    full = np.zeros((n_e + n_i, n_e + n_i))
    for i in range(n_e + n_i):
        for j in range(n_e + n_i):
            if i < n_e:
                full[i, j] = p["w_ee"][i, j] if j < n_e else -p["w_ei"][i, j - n_e]
            else:
                full[i, j] = p["w_ie"][i - n_e, j] if j < n_e else -p["w_ii"][i - n_e, j - n_e]
    return full


# §6


def center_surround(image: np.ndarray, center: np.ndarray, surround: np.ndarray, a_c: float, a_s: float) -> np.ndarray:
    """[a_c C(x) − a_s S(x)]₊ of ``image`` (inputs, H, W) with kernels (outputs, inputs, k, k) and zero padding."""

    def convolve(kernels: np.ndarray, o: int, y: int, x: int) -> float:
        total, radius = 0.0, kernels.shape[2] // 2
        for (c, dy, dx), weight in np.ndenumerate(kernels[o]):
            row, column = y + dy - radius, x + dx - radius
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                total += weight * image[c, row, column]
        return total

    out = np.zeros((len(center), *image.shape[1:]))
    for o, y, x in np.ndindex(out.shape):
        out[o, y, x] = max(0.0, a_c * convolve(center, o, y, x) - a_s * convolve(surround, o, y, x))
    return out


# The whole model


def under(p: Parameters, prefix: str) -> Parameters:
    return {name.removeprefix(f"{prefix}."): value for name, value in p.items() if name.startswith(f"{prefix}.")}


def forward(tokens: np.ndarray, p: Parameters, core, ticks: int, *, shared: bool) -> dict[str, np.ndarray]:
    """Tokens (B, N, d_kv) → everything recorded, stacked as (B, T, ...), and logits (B, C, T).

    ``p`` are the cell's parameters and buffers by name, ``core`` its configuration. Parts that are switched off have
    no parameters.
    """
    attend, dynamics, inhibit, models, sync = (
        under(p, name) for name in ("attention", "wilson_cowan", "lateral", "neuron_models", "synchronisation")
    )
    n_e, length = core.n_e, core.neuron_models.memory_length
    alpha = (core.dt / core.tau_e, core.dt / core.tau_i)
    weighting = [kernel(length, core.tau_e if n < n_e else core.tau_i, core.dt) for n in range(core.neurons)]
    sizes = [core.synchrony.pairs_ee, core.synchrony.pairs_ei, core.synchrony.pairs_ii]
    if not core.synchrony.typed:
        sizes = [sum(sizes)]
    pairs = list(zip(sync["left"].astype(int), sync["right"].astype(int), sync["decay"], strict=True))
    batch_records: list[dict[str, np.ndarray]] = []
    for sample in tokens:
        rates, pushed, seen = dynamics["start"], [], [dynamics["start"]]
        z = latent(np.array([synchronisation(seen, i, j, d) for i, j, d in pairs]), sizes, sync)
        records: list[dict[str, np.ndarray | float]] = []
        for _ in range(ticks):
            output, weights = attention(z, sample, attend, core.attention.heads)
            drive = linear(output, dynamics["input.weight"], dynamics["input.bias"])
            euler = wilson_cowan(rates[:n_e], rates[n_e:], drive, dynamics, alpha, core.activation, core.norm)
            ratio = ei_ratio(euler["rates_e"], euler["rates_i"], core.ratio_normalization)
            gamma = float(inhibit["strength"])
            e = lateral(euler["rates_e"], inhibit["w_in"], inhibit["w_out"], gamma, core.lateral.iterations)[-1]
            pushed.append(np.concatenate((e, euler["rates_i"])))
            corrected = pushed[-1].copy()
            for n in range(core.neurons * core.neuron_models.enabled):
                history = fifo([entry[n] for entry in pushed], length)
                first, second = models["first"][n], models["second"][n]
                biases = models["first_bias"][n, 0], models["second_bias"][n, 0]
                c = neuron_model(history, weighting[n], first, biases[0], second, biases[1])
                corrected[n] = max(0.0, pushed[-1][n] + c)
            seen.append(corrected)
            s = np.array([synchronisation(seen, i, j, d) for i, j, d in pairs])
            z = latent(s, sizes, sync)
            before = np.concatenate((euler["rates_e"], euler["rates_i"]))
            rates = corrected if core.neuron_models.feedback else before
            records.append(
                euler
                | {"drive": drive, "ei_ratio": ratio, "inhibited_e": e, "synchrony": s, "latent": z}
                | {"sync_power": sum(s**2) / len(s), "attention": weights}
                | {"corrected_e": corrected[:n_e], "corrected_i": corrected[n_e:]}
            )
        batch_records.append({name: np.stack([r[name] for r in records]) for name in records[0]})
    out = {name: np.stack([r[name] for r in batch_records]) for name in batch_records[0]}
    memories, settings = np.zeros((*out["ei_ratio"].shape, 0)), core.memory
    if settings.enabled:
        ratios, target = out["ei_ratio"], core.ratio_target
        out |= memory_run(out["latent"], ratios, under(p, "memory"), target, settings.momentum, settings.rate, shared)
        memories = out["memory"]
    answers = [
        [head(z, m, under(p, "head")) for z, m in zip(*rows, strict=True)]
        for rows in zip(out["latent"], memories, strict=True)
    ]
    out["logits"] = np.array(answers).transpose(0, 2, 1)
    out["certainty"] = np.array([[certainty(tick) for tick in sample] for sample in answers])
    return out


# The excitatory-inhibitory layer


def ei_rnn(
    x: np.ndarray,
    start: Vector,
    w: np.ndarray,
    u: np.ndarray,
    b: Vector,
    alpha: Vector,
    dynamics: str,
    phi: Callable[[float], float],
) -> list[Vector]:
    """States after each of L inputs (L, n) of one series, neuron by neuron; ``w`` is signed, row = target."""
    state, states = list(start), []
    for seen in x:
        sent = state if dynamics == "rates" else [phi(h) for h in state]
        following = []
        for i in range(len(state)):
            h = (
                b[i]
                + sum(u[i, k] * seen[k] for k in range(len(seen)))
                + sum(w[i, j] * sent[j] for j in range(len(sent)))
            )
            goal = phi(h) if dynamics == "rates" else h
            following.append((1 - alpha[i]) * state[i] + alpha[i] * goal)
        state = following
        states.append(np.array(state))
    return states
