"""TIDE: image classifiers that think in internal ticks with excitatory and inhibitory neurons.

::

    import tide

    model = tide.create("mnist")                 # a preset; tide.create("mnist", core=dict(ticks=25)) overrides
    out = model(images)                          # images: (B, channels, H, W), float in [0, 1]
    out.logits, out.certainty, out.ei_ratio      # (B, C, T), (B, T), (B, T)
    prediction = model.predict(images, halt=0.9) # prediction.label, .certainty, .ticks: (B,)
    model.save_pretrained(path); tide.load(path)
    model = tide.pretrained("mnist")             # trained weights that come with the library

Training with your own loop: call ``model.project_()`` after each optimiser step; it applies Dale's principle and
every other bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

# Imported on first use: torch alone takes over a second, and `tide --help` must not wait for it.
_HOMES = {
    "create": "tide.models.load",
    "load": "tide.models.load",
    "pretrained": "tide.models.load",
    "preset": "tide.models.presets",
    "PRESETS": "tide.models.presets",
    "register": "tide.config",
    "Thinker": "tide.models.thinker",
    "CTM": "tide.models.ctm",
    "LSTM": "tide.models.lstm",
    "ThoughtOutput": "tide.types",
    "Prediction": "tide.types",
    "Config": "tide.config",
    "ModelConfig": "tide.config",
    "InputError": "tide.errors",
}
__all__ = [
    "CTM",
    "LSTM",
    "PRESETS",
    "Config",
    "InputError",
    "ModelConfig",
    "Prediction",
    "Thinker",
    "ThoughtOutput",
    "__version__",
    "create",
    "load",
    "preset",
    "pretrained",
    "register",
]

if TYPE_CHECKING:
    from tide.config import Config, ModelConfig, register
    from tide.errors import InputError
    from tide.models.ctm import CTM
    from tide.models.load import create, load, pretrained
    from tide.models.lstm import LSTM
    from tide.models.presets import PRESETS, preset
    from tide.models.thinker import Thinker
    from tide.types import Prediction, ThoughtOutput


def __getattr__(name: str) -> Any:
    if name == "nn":
        from importlib import import_module

        return import_module("tide.nn")
    if name not in _HOMES:
        raise AttributeError(f"module 'tide' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
