"""How examples go through a model: as a whole or, above frozen layers, from kept activations."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from adaptlab.batching import by_tokens
from adaptlab.errors import AdaptlabError
from adaptlab.models import logits_at
from adaptlab.runtime import Runtime
from adaptlab.tuning.examples import Batch, Example, collate
from adaptlab.tuning.identity import checksum
from adaptlab.tuning.parts import Activations, cut, frozen_layers


class Network:
    """A model, or the part of it that changes in training, and what feeds that part.

    activations: what the frozen layers at the bottom made of texts in an earlier run. whole: do not
        cut them off.
    Raises AdaptlabError for activations of other layers, or of other weights.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        runtime: Runtime,
        activations: Activations | None = None,
        whole: bool = False,
    ):
        self.model, self.runtime, self.activations = model, runtime, None
        layers = 0 if whole else frozen_layers(model)
        if layers:
            lower, self.model = cut(model, layers)
            self.activations = activations or Activations(lower)
            if self.activations.layers != layers:
                raise AdaptlabError(
                    f"the activations are those above {self.activations.layers} layers; "
                    f"{layers} are frozen here"
                )
            if activations and activations.identity != checksum(lower):
                raise AdaptlabError("the activations are those of a model with other weights")

    def keep(self, *parts: Sequence[Example], size: int) -> None:
        """Run the frozen layers on all examples, `size` at a time, and keep what comes out."""
        if self.activations is not None:
            for examples in parts:
                with self._autocast():
                    texts = [each.ids for each in examples]
                    self.activations.keep(texts, self.runtime.device, size)

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Examples as tensors: token ids, or the hidden states above the frozen layers."""
        batch = collate(examples, self.runtime.device)
        if self.activations is None:
            return batch
        with self._autocast():
            hidden = self.activations([each.ids for each in examples], self.runtime.device)
        return replace(batch, inputs=hidden)

    @torch.inference_mode()
    def scores(self, examples: Sequence[Example]) -> np.ndarray:
        """The logits at the one asked position of each example, (examples, labels), fp32.

        Raises AdaptlabError for no examples, or one that is asked at several positions.
        """
        if not len(examples) or any(len(each.positions) != 1 for each in examples):
            raise AdaptlabError("scores are of one or more examples, each asked at one position")
        found = {
            place: row
            for places, batch in self._in_order(examples)
            for place, row in zip(places, self._logits(batch).cpu().numpy(), strict=True)
        }
        return np.stack([found[place] for place in range(len(examples))])

    @torch.inference_mode()
    def losses(self, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        """Each example's mean loss in nats, and its share of right answers, both (examples,)."""
        found = np.zeros((2, len(examples)))
        for places, batch in self._in_order(examples):
            logits = self._logits(batch)
            losses = F.cross_entropy(logits, batch.targets, reduction="none")
            right = logits.argmax(-1) == batch.targets
            for row, values in enumerate((losses, right)):
                sums = torch.zeros(len(places), device=losses.device)
                sums.index_add_(0, batch.rows, values * batch.weights)
                found[row, places] = sums.cpu().numpy()
        return found[0], found[1]

    def _in_order(self, examples: Sequence[Example]) -> Iterator[tuple[list[int], Batch]]:
        for places in by_tokens([len(each.ids) for each in examples]):
            yield places, self.batch([examples[place] for place in places])

    def _logits(self, batch: Batch) -> torch.Tensor:
        with self._autocast():
            return logits(self.model, batch)

    def _autocast(self) -> torch.autocast:
        """Products in the runtime's format, whatever the weights are in."""
        half = self.runtime.dtype is torch.bfloat16
        return torch.autocast(self.runtime.device.type, torch.bfloat16, enabled=half)


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The sum over the examples of each one's mean cross-entropy at its asked positions, nats."""
    losses = F.cross_entropy(logits(model, batch), batch.targets, reduction="none")  # (N,)
    return losses @ batch.weights


def logits(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The logits at the asked positions, fp32, (N, vocabulary or labels)."""
    name = "inputs_embeds" if batch.inputs.is_floating_point() else "input_ids"
    inputs = {name: batch.inputs, "use_cache": False}
    return logits_at(model, batch.rows, batch.columns, **inputs).float()
