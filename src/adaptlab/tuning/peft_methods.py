"""Parameter-efficient methods as the peft library has them."""

import peft
from peft import LoraConfig, PeftModel, PromptTuningConfig, PromptTuningInit
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def add_lora(model: PreTrainedModel, rank: int, alpha: float | None = None) -> PeftModel:
    """LoRA (Hu et al., 2021) on every linear layer but the head: W + (alpha / rank) B A.

    A starts at random and B at zero, so that nothing changes before training. A and B are fp32.
    alpha: 2 * rank by default.
    """
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=alpha or 2 * rank,
        target_modules="all-linear",
    )
    return peft.get_peft_model(model, config)


def add_soft_prompt(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: int, text: str
) -> PeftModel:
    """Prompt tuning (Lester et al., 2021): `tokens` trained vectors before the embeddings.

    They start as the embeddings of `text`, repeated or cut to length.
    """
    config = PromptTuningConfig(
        task_type="CAUSAL_LM",
        num_virtual_tokens=tokens,
        prompt_tuning_init=PromptTuningInit.TEXT,
        prompt_tuning_init_text=text,
        tokenizer_name_or_path=tokenizer.name_or_path,
    )
    return peft.get_peft_model(model, config)
