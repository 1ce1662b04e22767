"""Operations of a model, and what a training step would cost on a device that is not there."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from tide.config import Config
from tide.losses import objective
from tide.models.inputs import example, moved
from tide.models.thinker import Thinker

# How many operations a model takes: matrix products and convolutions, each multiply-add counting two.


@dataclass(frozen=True)
class Operations:
    """Operations for one image.

    ``once``: backbone, keys and values; ``composed``: weights composed once per forward pass, whatever the batch;
    ``tick``: one tick of the recurrence and its share of the read-out.
    """

    once: int
    composed: int
    tick: int

    def image(self, ticks: int) -> int:
        """Return the operations for one image of a large batch."""
        return self.once + ticks * self.tick


def count_operations(model: Thinker) -> Operations:
    """Count the operations of ``model`` by running it without data or arithmetic, on torch's meta device.

    Elementwise work (norms, gates, products of pairs) is not counted. In training every lateral iteration is taken; so
    it is here.
    """
    model = copy.deepcopy(model).to("meta").train().requires_grad_(False)
    passes = {(batch, ticks): _total(model, batch, ticks) for batch, ticks in ((1, 1), (2, 1), (1, 2))}
    tick = passes[1, 2] - passes[1, 1]
    image = passes[2, 1] - passes[1, 1]
    return Operations(once=image - tick, composed=passes[1, 1] - image, tick=tick)


def _total(model: Thinker, batch: int, ticks: int) -> int:
    inputs = moved(example(model.config, batch), torch.device("meta"))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs, ticks=ticks)
    return int(counter.get_total_flops())


# What a training step would cost on a device that is not there: kernels, operations, bytes moved, memory held.


HALF = {"none": None, "bf16": torch.bfloat16, "fp16": torch.bfloat16}  # the same bytes and operations
UNWRITTEN = ("_unsafe_view", "empty", "new_empty")
OVERWRITING = ("copy_", "fill_", "zero_")


class Kernel(NamedTuple):
    """One tensor operation that a device would run.

    ``operations``: of matrix products and convolutions, a multiply-add counting two, 0 for everything else; ``half``:
    whether its result has 16 bits; ``moved``: bytes read and written if nothing is kept in a cache.
    """

    name: str
    operations: int
    half: bool
    moved: int


class Device(NamedTuple):
    """A device by its data sheet: operations a second in half and in single precision, bytes a second, bytes.

    ``launch``: the least seconds between the starts of two kernels, 0 for those of a CUDA graph. Launched one by one it
    is the time that Python and C++ take on the CPU for each, which depends on the machine.
    """

    half: float
    single: float
    bandwidth: float
    memory: float
    launch: float = 0.0

    def seconds(self, kernels: Sequence[Kernel], *, share: float = 1.0) -> float:
        """Return the seconds that kernels take one after another: each the longest of arithmetic, traffic and launch.

        ``share``: what part of the peak rates is reached.
        """
        total = 0.0
        for kernel in kernels:
            arithmetic = kernel.operations / (self.half if kernel.half else self.single)
            total += max(max(arithmetic, kernel.moved / self.bandwidth) / share, self.launch)
        return total


class CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every kernel that runs inside the context, and the bytes of all tensors made there that are alive.

    Views and unwritten memory cost nothing. ``outside``: tensors made before, which views and writes do not make anew.
    ``peak``: the most bytes alive at once. Meant for fake tensors: data-dependent reads return True, so all rows are
    counted.
    """

    def __init__(self, outside: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: list[Kernel] = []
        self.alive = self.peak = 0
        self._known = weakref.WeakSet(tensor.untyped_storage() for tensor in outside)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        if func is torch.ops.aten._local_scalar_dense.default:
            return True
        if func is torch.ops.aten.nonzero.default:
            return args[0].new_empty((args[0].numel(), args[0].dim()), dtype=torch.long)
        out = _emission(*args[:2]) if func is torch.ops.aten._ctc_loss.default else func(*args, **(kwargs or {}))
        if func.namespace == "prim":  # questions about tensors, like their device
            return out
        results = _tensors(out)
        for result in results:
            self._hold(result.untyped_storage())
        if not _is_view(func) and not func.overloadpacket.__name__.startswith(UNWRITTEN):
            count = flop_registry.get(func.overloadpacket)
            operations = int(count(*args, **(kwargs or {}), out_val=out)) if count is not None else 0
            half = any(result.dtype.itemsize == 2 for result in results)
            read = args[1:] if func.overloadpacket.__name__ in OVERWRITING else args
            moved = sum(map(_size, results)) + sum(map(_size, _tensors((read, kwargs))))
            self.kernels.append(Kernel(str(func), operations, half, moved))
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.alive -= size


def _emission(log_p: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return what ``aten._ctc_loss`` does, without values: torch lacks that form of it."""
    ticks, batch, _ = log_p.shape
    return log_p.new_empty(batch), log_p.new_empty(batch, ticks, 2 * targets.shape[1] + 1)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _size(tensor: Tensor) -> int:
    """Return the bytes behind a tensor; an expanded one is read once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _is_view(func: Any) -> bool:
    aliases = [value.alias_info for value in func._schema.returns if value.alias_info is not None]
    return bool(aliases) and not any(alias.is_write for alias in aliases)


@dataclass(frozen=True)
class StepCosts:
    """What one forward and backward pass of a micro-batch costs.

    ``parameters``: their bytes; ``held``: the bytes of all that is there before the pass, the parameters, Adam's two
    moments and, from a step's second micro-batch on, the gradients; ``peak``: the most bytes alive at once of what the
    pass makes, a first micro-batch's gradients among them.
    """

    kernels: tuple[Kernel, ...]
    parameters: int
    held: int
    peak: int


def count_costs(config: Config) -> StepCosts:
    """Count one forward and backward pass of ``config.train.batch`` images, without data, arithmetic or memory.

    It is a step's last micro-batch: with accumulation, gradients are there before it. Objective, truncation,
    recomputation and mixed precision are those of ``config``; all lateral iterations are taken.
    """
    train, output = config.train, config.output
    with FakeTensorMode():
        model = Thinker(config.model).train()
        model.backbone_precision = HALF[train.mixed_precision]
        images = example(config.model, train.batch)
        labels = torch.zeros(train.batch, *output.positions, dtype=torch.long)
        # Fake tensors know no CTC, whose kernels are small beside the ticks.
        loss = replace(config.loss, objective="two_point") if output.emitted else config.loss
        parameters = sum(_size(parameter) for parameter in model.parameters())
        several = train.accumulation > 1
        for parameter in model.parameters() if several else ():
            parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        inputs = images if isinstance(images, tuple) else (images,)
        with CostCounter([*model.parameters(), *model.buffers(), *gradients, *inputs, labels]) as counter:
            out = model(images, tbptt=train.tbptt, recompute=train.recompute)
            terms = objective(out, labels, model.cell.blocks(), loss, curriculum=1.0)
            terms.total.backward()  # type: ignore[no-untyped-call]
    return StepCosts(tuple(counter.kernels), parameters, held=(4 if several else 3) * parameters, peak=counter.peak)
