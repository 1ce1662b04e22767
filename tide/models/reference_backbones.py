"""Names of the reference implementation for what stands before the cell: backbones, positions, embeddings."""

from __future__ import annotations

from collections.abc import Iterator

from tide.backbones.resnet import BLOCKS_OF
from tide.config import BackboneConfig, QuestionsConfig, ResNetTrunkConfig, SymbolsConfig

AFFINE = ("weight", "bias")
NORM = (*AFFINE, "running_mean", "running_var", "num_batches_tracked")


def backbone_names(config: BackboneConfig) -> dict[str, str]:
    """Return the reference's name of each parameter and kept buffer of a backbone, by our name."""
    if isinstance(config, SymbolsConfig):
        return {
            "embedding.weight": "backbone.embedding.weight",
            **{f"positions.projection.{part}": f"positional_embedding.projection.{part}" for part in AFFINE},
        }
    if isinstance(config, QuestionsConfig):
        layers = {0: AFFINE, 1: NORM, 4: AFFINE, 5: NORM}
        return {
            "places": "index_backbone.embedding",
            "operators.weight": "operator_backbone.embedding.weight",
            **{f"digit.{k}.{part}": f"backbone_digit.layers.{k}.{part}" for k in layers for part in layers[k]},
        }
    return dict(_trunk(config)) if isinstance(config, ResNetTrunkConfig) else {}


def _trunk(config: ResNetTrunkConfig) -> Iterator[tuple[str, str]]:
    modules = {"stem.0": ("conv1", ("weight",)), "stem.1": ("bn1", NORM)}
    for stage, count in enumerate(BLOCKS_OF[config.depth][: config.stages]):
        for block in range(count):
            ours, theirs = f"stages.{stage}.{block}", f"layer{stage + 1}.{block}"
            for number in (1, 2):
                modules[f"{ours}.body.{3 * (number - 1)}"] = f"{theirs}.conv{number}", ("weight",)
                modules[f"{ours}.body.{3 * (number - 1) + 1}"] = f"{theirs}.bn{number}", NORM
            if stage > 0 and block == 0:
                modules[f"{ours}.skip.0"] = f"{theirs}.downsample.0", ("weight",)
                modules[f"{ours}.skip.1"] = f"{theirs}.downsample.1", NORM
    for ours, (theirs, parts) in modules.items():
        for part in parts:
            yield f"{ours}.{part}", f"backbone.{theirs}.{part}"
