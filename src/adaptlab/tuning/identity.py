"""Which model is it? Two that would compute differently have different fingerprints."""

import hashlib
import json

import torch
import xxhash
from torch import nn
from transformers import PreTrainedModel

# Settings that decide no number.
NO_MATTER = {"_name_or_path", "architectures", "transformers_version", "dtype"}


def checksum(module: nn.Module) -> str:
    """Of the names, shapes and values of its parameters; a digit more or less is another one."""
    digest = xxhash.xxh3_128()
    for name, weight in module.named_parameters():
        digest.update(f"{name} {tuple(weight.shape)} ".encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def fingerprint(model: PreTrainedModel) -> str:
    """Of its settings, its modules and theirs (LoRA's alpha), its parameters, which are trained."""
    settings = {k: v for k, v in model.config.to_dict().items() if k not in NO_MATTER}
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    about = json.dumps(
        [settings, repr(model), trained, checksum(model)], sort_keys=True, default=str
    )
    return hashlib.sha256(about.encode()).hexdigest()[:16]
