"""Our decoder with packed weights (`adaptlab.packing`), for generation only."""

import torch
from torch import nn

from adaptlab.gpt.model import GPT
from adaptlab.packing import PackedLinear, can_pack


def pack(model: GPT) -> GPT:
    """A decoder that generates faster, with `model`'s weights as they are now.

    The packed matrices are a second copy, the rest is shared: pack anew after training. Where the
    hardware or this build of torch has no such kernels, `model` itself comes back.
    """
    if not can_pack(model.token_embedding.weight):
        return model
    with torch.device("meta"):
        packed = GPT(model.config)
    packed.load_state_dict(model.state_dict(), assign=True)  # shared, not copied
    for name, module in list(packed.named_modules()):
        if isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            setattr(packed.get_submodule(parent), child, PackedLinear(model.get_submodule(name)))
    return packed.eval()
