r"""The memory of a training step, measured: every tensor's storage is followed while it lives.

    bytes           peak of "backward"
      |                   /\              peak of "update"
      |         forward  /  \  backward          ____
      |                 /    \__________________|    |  the optimizer's step
      |________________/         gradients           |____
      +---------------------------------------------------> time

What is counted is the storage of tensors that torch makes. Scratch memory inside an operation
(a matrix product's buffers), the allocator's unused rest and Python itself are not seen; the
resident memory of a process (`runtime.measure`) is therefore higher.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from torch import nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from transformers import PreTrainedModel

from adaptlab.runtime import Runtime
from adaptlab.tuning.examples import Example, Examples
from adaptlab.tuning.loop import fit
from adaptlab.tuning.memory import Memory, Step
from adaptlab.tuning.recipe import Recipe


def measure_fit(
    model: PreTrainedModel, examples: Examples, recipe: Recipe, runtime: Runtime
) -> Step:
    """The most memory of one step of `loop.fit`, optimizer's moments in place.

    Two steps are made, both on the batch of the longest texts, at a learning rate of 0: the model
    comes out as it went in. Of the recipe the size of the batch, accumulation and checkpointing
    count. The hidden states kept above frozen layers are those of the one batch.
    """

    # Which label is right changes no memory; but where all have the same, `fit` has nothing to do.
    def relabelled(place: int, each: Example) -> Example:
        return replace(each, targets=(place % 2,) * len(each.targets))

    longest = sorted(examples, key=lambda each: len(each.ids), reverse=True)
    once = replace(
        recipe, learning_rate=0.0, epochs=2, evaluate_every=None, keep_best=False, patience=None
    )
    batch = Examples(tuple(map(relabelled, range(recipe.batch_size), longest)))
    return measured(lambda: fit(model, batch, once, runtime), model)


def measured(step: Callable[[], object], model: nn.Module, *optimizers: Optimizer) -> Step:
    """Peak bytes of all tensors while `step()` runs, by part, before and in optimizers' steps.

    model: its parameters and buffers are the weights, whatever else an optimizer changes are the
        copies. optimizers: those that were made before, with what they hold by now.
    What is none of the other parts is an activation. Tensors that were made before `step` and do
    not belong to these are counted once an operation returns them.
    """
    tracker = _Tracker(model)
    for optimizer in optimizers:
        tracker.own(optimizer)
    with tracker.hooks(), tracker:
        step()
    return tracker.peaks()


class _Tracker(TorchDispatchMode):
    """A log of all storages that come and go, and to which part each of them belongs."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self._model = model
        self._alive: dict[int, tuple[int, weakref.ref]] = {}  # address -> its number
        self._log: list[tuple[int, int]] = []  # number of the storage, bytes (below 0: freed)
        self._part: dict[int, str] = {}  # number of the storage -> field of Memory
        self._updates: list[tuple[int, int]] = []  # from, to: places in the log
        self._last_gradient = self._numbers = 0
        self._follow_weights()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        used = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        # A gradient made wider, or added to another, is a gradient.
        part = "gradients" if used and all(map(self._is_gradient, used)) else None
        tree_map_only(torch.Tensor, lambda tensor: self._follow(tensor, part), result)
        return result

    def own(self, optimizer: Optimizer) -> None:
        """Follow the optimizer's tensors."""
        for group in optimizer.param_groups:
            for weight in group["params"]:
                self._follow(weight, "copies")
        for state in optimizer.state.values():
            for value in state.values():
                if isinstance(value, torch.Tensor):
                    self._follow(value, "optimizer")

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Learn which tensors are gradients, and when an optimizer steps."""
        with ExitStack() as stack:
            for weight in self._model.parameters():
                if weight.requires_grad:
                    stack.callback(weight.register_hook(self._gradient).remove)
                    hook = weight.register_post_accumulate_grad_hook(self._accumulated)
                    stack.callback(hook.remove)
            stack.callback(register_optimizer_step_pre_hook(self._before_update).remove)
            stack.callback(register_optimizer_step_post_hook(self._after_update).remove)
            yield

    def peaks(self) -> Step:
        """The log played back: what lived at the two peaks."""
        now = dict.fromkeys(Memory.__dataclass_fields__, 0)
        best = {False: Memory(), True: Memory()}
        for place, (number, size) in enumerate(self._log):
            updating = any(begin <= place < end for begin, end in self._updates)
            now[self._part.get(number, "activations")] += size
            if size > 0 and sum(now.values()) > best[updating].total:
                best[updating] = Memory(**now)
        return Step(best[False], best[True])

    def _follow_weights(self) -> None:
        for tensor in (*self._model.parameters(), *self._model.buffers()):
            self._follow(tensor, "weights")

    def _follow(self, tensor: torch.Tensor, part: str | None = None) -> None:
        storage = tensor.untyped_storage()
        address, size = id(storage), storage.nbytes()
        if address not in self._alive:
            self._numbers += 1
            self._log.append((self._numbers, size))
            reference = weakref.ref(storage, lambda _: self._forget(address, size))
            self._alive[address] = (self._numbers, reference)
        if part:
            self._part.setdefault(self._alive[address][0], part)

    def _is_gradient(self, tensor: torch.Tensor) -> bool:
        number, _ = self._alive.get(id(tensor.untyped_storage()), (0, None))
        return self._part.get(number) == "gradients"

    def _forget(self, address: int, size: int) -> None:
        number, _ = self._alive.pop(address)
        self._log.append((number, -size))

    def _gradient(self, gradient: torch.Tensor) -> None:
        self._follow(gradient, "gradients")
        self._last_gradient = len(self._log)

    def _accumulated(self, weight: torch.Tensor) -> None:
        self._gradient(weight.grad)

    def _before_update(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        self._follow_weights()  # a change of format has made new ones
        for group in optimizer.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._follow(weight.grad, "gradients")
        self.own(optimizer)

    def _after_update(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        self.own(optimizer)
        self._updates.append((self._last_gradient, len(self._log)))
