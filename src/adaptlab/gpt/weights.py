"""Pretrained weights in our decoder, and ours in a transformers model.

Two families are known, GPT-2 and Llama (SmolLM2 is one). For each there is a table: our tensor,
and the one or several of theirs that it is made of, one below the other.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from transformers import GPT2Config, LlamaConfig, PretrainedConfig, PreTrainedModel

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.model import GPT

GPT2_OUTSIDE = {
    "token_embedding": ("transformer.wte",),
    "position_embedding": ("transformer.wpe",),
    "norm": ("transformer.ln_f",),
}
GPT2_LAYER = {
    "attention_norm": ("transformer.h.{}.ln_1",),
    "attention.qkv": ("transformer.h.{}.attn.c_attn",),
    "attention.output": ("transformer.h.{}.attn.c_proj",),
    "mlp_norm": ("transformer.h.{}.ln_2",),
    "mlp.up": ("transformer.h.{}.mlp.c_fc",),
    "mlp.down": ("transformer.h.{}.mlp.c_proj",),
}
LLAMA_OUTSIDE = {"token_embedding": ("model.embed_tokens",), "norm": ("model.norm",)}
LLAMA_LAYER = {
    "attention_norm": ("model.layers.{}.input_layernorm",),
    "attention.qkv": tuple(f"model.layers.{{}}.self_attn.{part}_proj" for part in "qkv"),
    "attention.output": ("model.layers.{}.self_attn.o_proj",),
    "mlp_norm": ("model.layers.{}.post_attention_layernorm",),
    "mlp.gate": ("model.layers.{}.mlp.gate_proj",),
    "mlp.up": ("model.layers.{}.mlp.up_proj",),
    "mlp.down": ("model.layers.{}.mlp.down_proj",),
}
# Buffers of old checkpoints: the causal mask and the rotary frequencies, which we compute.
BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


def from_transformers(model: PreTrainedModel) -> GPT:
    """Our decoder with a copy of the weights of a GPT-2 or Llama model, in its dtype and place.

    Raises AdaptlabError for another family, or a setting that our decoder does not have.
    """
    config = config_of(model.config)
    with torch.device("meta"):  # to draw weights would be a waste: they are replaced at once
        ours = GPT(config)
    ours.load_state_dict(convert(model.state_dict(), config), assign=True)
    if config.tied:
        ours.head.weight = ours.token_embedding.weight
    return ours.eval()


def into_transformers(ours: GPT, theirs: PreTrainedModel) -> PreTrainedModel:
    """Copy our weights into a transformers model of the same shape; returns it.

    Raises AdaptlabError if it is not of that shape.
    """
    # Dropout and the kernel are how a model is used: no weight depends on them.
    shapes = [
        replace(config, dropout=0.0, fused=True)
        for config in (config_of(theirs.config), ours.config)
    ]
    if shapes[0] != shapes[1]:
        raise AdaptlabError(f"this {theirs.config.model_type} is not of our decoder's shape")
    own, target = ours.state_dict(), theirs.state_dict()  # both share memory with their models
    for name, parts in names(ours.config, target).items():
        rows = [len(_turned(target[part], parts)) for part in parts]
        for part, piece in zip(parts, own[name].split(rows), strict=True):
            target[part].copy_(_turned(piece, parts))
    return theirs


def convert(weights: Mapping[str, torch.Tensor], config: GPTConfig) -> dict[str, torch.Tensor]:
    """A state dict of GPT-2 or Llama under our names, as copies.

    Raises AdaptlabError for a tensor that is missing, has another shape than `config` says (which
    one, expected and found), or has a name that is not known.
    """
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in GPT(config).state_dict().items()}
    table = names(config, weights)
    known = {part for parts in table.values() for part in parts}
    for key in weights:
        if key not in known and key != "lm_head.weight" and not key.endswith(BUFFERS):
            raise unknown("weights key", key, known)
    converted = {}
    for name, parts in table.items():
        for part in parts:
            if part not in weights:
                raise AdaptlabError(f"the weights have no tensor {part!r}")
        found = [_turned(weights[part], parts) for part in parts]
        try:
            matrix = torch.cat(found)  # a copy, of a single tensor too
        except RuntimeError:
            matrix = found[0]  # of another width than the rest: its shape is wrong as well
        if matrix.shape != shapes[name]:
            raise AdaptlabError(
                f"{' + '.join(parts)}: expected shape {tuple(shapes[name])} for {name}, "
                f"found {' + '.join(str(tuple(part.shape)) for part in found)}"
            )
        converted[name] = matrix
    if config.tied:
        converted["head.weight"] = converted["token_embedding.weight"]
    return converted


def names(config: GPTConfig, weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[str, ...]]:
    """Our name of each tensor -> theirs, for the family that `weights` belongs to.

    Raises AdaptlabError where the family, seen by its names, is not the one `config` describes.
    """
    is_gpt2 = any(key.startswith("transformer.") for key in weights)
    if is_gpt2 != (config.positions == "learned"):
        raise AdaptlabError("the weights and the configuration are not of one family")
    outside, layer = (GPT2_OUTSIDE, GPT2_LAYER) if is_gpt2 else (LLAMA_OUTSIDE, LLAMA_LAYER)
    modules = dict(outside)
    for n in range(config.layers):
        for ours, theirs in layer.items():
            modules[f"blocks.{n}.{ours}"] = tuple(name.format(n) for name in theirs)
    table = {}
    for ours, theirs in modules.items():
        table[f"{ours}.weight"] = tuple(f"{name}.weight" for name in theirs)
        if is_gpt2 and not ours.endswith("embedding"):
            table[f"{ours}.bias"] = tuple(f"{name}.bias" for name in theirs)
    if not config.tied:
        table["head.weight"] = ("lm_head.weight",)
    return table


def config_of(theirs: PretrainedConfig) -> GPTConfig:
    """The configuration of our decoder that a transformers model has.

    Raises AdaptlabError for another family, or a setting that our decoder does not have.
    """
    if isinstance(theirs, GPT2Config):
        return _config_of_gpt2(theirs)
    if isinstance(theirs, LlamaConfig):
        return _config_of_llama(theirs)
    raise AdaptlabError(f"our decoder knows gpt2 and llama models, not {theirs.model_type}")


def _config_of_gpt2(theirs: GPT2Config) -> GPTConfig:
    _require(theirs, "activation_function", ("gelu_new", "gelu_pytorch_tanh"))
    _require(theirs, "scale_attn_weights", (True,))
    _require(theirs, "scale_attn_by_inverse_layer_idx", (False,))
    return GPTConfig(
        vocab_size=theirs.vocab_size,
        context_length=theirs.n_positions,
        layers=theirs.n_layer,
        heads=theirs.n_head,
        width=theirs.n_embd,
        mlp_width=theirs.n_inner,
        norm_epsilon=theirs.layer_norm_epsilon,
        dropout=theirs.resid_pdrop,
        tied=theirs.tie_word_embeddings,
    )


def _config_of_llama(theirs: LlamaConfig) -> GPTConfig:
    _require(theirs, "hidden_act", ("silu",))
    _require(theirs, "attention_bias", (False,))
    _require(theirs, "mlp_bias", (False,))
    _require(theirs, "head_dim", (None, theirs.hidden_size // theirs.num_attention_heads))
    rope = theirs.rope_parameters
    if rope.get("rope_type", "default") != "default":
        raise AdaptlabError(f"our decoder has no {rope['rope_type']!r} rotary positions")
    return GPTConfig(
        vocab_size=theirs.vocab_size,
        context_length=theirs.max_position_embeddings,
        layers=theirs.num_hidden_layers,
        heads=theirs.num_attention_heads,
        width=theirs.hidden_size,
        kv_heads=theirs.num_key_value_heads,
        mlp_width=theirs.intermediate_size,
        norm="rms",
        positions="rotary",
        mlp="swiglu",
        bias=False,
        norm_epsilon=theirs.rms_norm_eps,
        rope_base=rope["rope_theta"],
        tied=theirs.tie_word_embeddings,
    )


def _require(theirs: PretrainedConfig, setting: str, allowed: tuple) -> None:
    value = getattr(theirs, setting)
    if value not in allowed:
        raise AdaptlabError(f"our decoder has no {setting}={value!r}")


def _is_conv1d(parts: tuple[str, ...]) -> bool:
    """Whether the tensor is a matrix that GPT-2 keeps as (in, out)."""
    return ".c_" in parts[0] and parts[0].endswith(".weight")


def _turned(tensor: torch.Tensor, parts: tuple[str, ...]) -> torch.Tensor:
    return tensor.T if _is_conv1d(parts) else tensor
