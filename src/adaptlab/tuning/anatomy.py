"""Where a decoder keeps its layers and its final norm: each family has names of its own."""

from torch import nn
from transformers import PreTrainedModel

from adaptlab.errors import AdaptlabError

FINAL_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm")


def layers_of(model: PreTrainedModel) -> nn.ModuleList:
    """The one list in the decoder that is as long as the model is deep.

    Raises AdaptlabError if there is none, or more than one.
    """
    decoder = model.get_decoder()
    lists = [part for part in decoder.children() if isinstance(part, nn.ModuleList)]
    fitting = [part for part in lists if len(part) == decoder.config.num_hidden_layers]
    if len(fitting) != 1:
        raise AdaptlabError(f"{type(model).__name__} has no list of layers to choose from")
    return fitting[0]


def final_norm(model: PreTrainedModel) -> nn.Module:
    """The norm between the last layer and the head. Raises AdaptlabError if it is not found."""
    for name in FINAL_NORMS:
        if (norm := getattr(model.get_decoder(), name, None)) is not None:
            return norm
    raise AdaptlabError(f"{type(model).__name__} has no final norm where it is looked for")
