"""Shapes of what the native loop writes: results, intermediate results and gradients.

Intermediate results are (panels, ticks, features, 16): sixteen samples side by side.
"""

from __future__ import annotations

from tide.native.arguments import Sizes
from tide.native.library import LANES

Shapes = dict[str, tuple[int, ...]]


def panels_of(batch: int) -> int:
    """Return the number of panels of a batch."""
    return -(-batch // LANES)


def outcome_shapes(s: Sizes) -> Shapes:
    """Per tick: latent state, sums of rates per population, mean of s², lateral iterations; then of the last tick."""
    return {
        "latent": (s.batch, s.ticks, s.latent),
        "sums": (s.batch, s.ticks, 2),
        "power": (s.batch, s.ticks),
        "iterations": (s.batch, s.ticks),
        "euler": (s.batch, s.neurons),
        "preactivation": (s.batch, s.neurons),
        "attended": (s.batch, s.heads * s.head_width),
        "rates": (s.batch, s.neurons),
        "history": (s.neurons, s.batch, s.memory) if s.hidden else (0,),
        "products": (s.batch, s.pairs),
    }


def trace_shapes(s: Sizes, slots: int) -> Shapes:
    """Intermediate results: of every tick where the backward pass wants them, else of one, in so many slots."""
    width, kept = s.heads * s.head_width, s.ticks if s.keep_ticks else 1
    states = kept + 1 if s.keep_ticks else 1
    places = panels_of(s.batch) if s.states_stay else slots
    per_head = (s.batch, s.heads, s.ticks) if s.keep_ticks else (0, 0, 0)
    every = {
        "read": width,
        "attended_hat": width,
        "attended_scale": 1,
        "normalised": s.neurons,
        "inverse_rms": 2,
        "euler": s.neurons,
        "inhibited": (s.iterations + 1) * s.excitatory,
        "pool": s.iterations * s.pool,
        "iterations": 1,
        "gated": s.neurons * 2 * s.hidden,
        "correction": s.neurons * 2 if s.hidden else 0,
        "corrected": 0 if s.feedback else s.neurons,
        "synchrony": s.pairs,
        "latent_hat": s.latent,
        "latent_scale": 1,
    }
    entering = {
        "entering": width + s.neurons,
        "entering_products": s.pairs,
        "entering_latent": s.latent,
    }
    return {
        **{name: (slots, kept, features, LANES) for name, features in every.items()},
        **{name: (places, states, features, LANES) for name, features in entering.items()},
        "history": (places, s.neurons, s.history_slots if s.hidden else 0, LANES),
        "query": (*per_head, s.head_width),
        "attention": (*per_head, s.positions),
    }


def leaving_shapes(s: Sizes) -> Shapes:
    """Gradients of the products' results at every tick, sums over ticks of elementwise weights', and of the start."""
    width, panels = s.heads * s.head_width, panels_of(s.batch)
    every = {
        "query": width,
        "output": width,
        "map": s.neurons,
        "inhibited": s.iterations * s.excitatory,
        "pool": s.iterations * s.pool,
        "gated": s.neurons * 2 * s.hidden,
        "correction": s.neurons * 2 if s.hidden else 0,
        "streams": s.latent,
    }
    summed = {
        "attention_gain": width,
        "attention_bias": width,
        "gain": s.neurons,
        "retention": s.pairs,
        "latent_gain": s.latent,
        "latent_bias": s.latent,
    }
    return {
        **{name: (panels, s.ticks, features, LANES) for name, features in every.items()},
        **{name: (panels, features, LANES) for name, features in summed.items()},
        "scale": (panels, s.ticks, s.pairs),
        "score": (s.batch, s.heads, s.ticks, s.positions),
        "read": (s.batch, s.heads, s.ticks, s.head_width),
    }


def returned_shapes(s: Sizes) -> Shapes:
    """Gradients that go to the caller as they are."""
    return {
        "rates": (s.batch, s.neurons),
        "history": (s.neurons, s.batch, s.memory) if s.hidden else (0,),
        "products": (s.batch, s.pairs),
        "latent": (s.batch, s.latent),
        "first": (s.neurons, 2 * s.hidden, s.memory),
        "first_bias": (s.neurons, 2 * s.hidden),
        "second": (s.neurons, 2, s.hidden),
        "second_bias": (s.neurons, 2),
    }
