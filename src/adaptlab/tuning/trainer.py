"""The same run through transformers' own Trainer, which you will meet everywhere else.

ours                                         Trainer's
with_label_head(model, tokenizer, words)     sequence_classifier(ours)
Examples, from classify(...)                 rows(examples), DataCollatorWithPadding(tokenizer)
Recipe(learning_rate, ...)                   TrainingArguments(...), an optimizer, a scheduler
fit(...) -> History                          Trainer(...).train(), then state.log_history
"""

import copy

import torch
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, PreTrainedModel

from adaptlab.errors import AdaptlabError
from adaptlab.models import output_head
from adaptlab.tuning.examples import Example, Examples


def sequence_classifier(model: PreTrainedModel) -> PreTrainedModel:
    """A model with a label head as transformers' ...ForSequenceClassification.

    Weights are copied, and so is which of them are trained. Its logits, (B, labels), are those at
    each text's last token that is not padding: a text must not end with the padding token.
    Raises AdaptlabError if transformers has no such class for the model, or its class has more in
    its head than one row of weights for each label.
    """
    config = copy.deepcopy(model.config)
    head = output_head(model)
    config.num_labels = len(head.weight)
    if config.pad_token_id is None:
        end = config.eos_token_id
        config.pad_token_id = end[0] if isinstance(end, list) else end  # as `models.load` does
    kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    if kind is None:
        raise AdaptlabError(f"transformers has no sequence classifier for {type(model).__name__}")
    with torch.device("meta"):  # without weights: they are copied below
        made = kind(config)
    setattr(made, made.base_model_prefix, copy.deepcopy(model.get_decoder()))
    made.score = copy.deepcopy(head)
    if any(weight.is_meta for weight in made.parameters()):
        raise AdaptlabError(f"the head of {kind.__name__} is not one row of weights for each label")
    return made.eval()


def rows(examples: Examples | list[Example]) -> list[dict[str, list[int] | int]]:
    """Examples of `classify` as DataCollatorWithPadding and Trainer take them.

    Raises AdaptlabError for examples that are asked for more than one label.
    """
    if any(each.positions != (len(each.ids) - 1,) for each in examples):
        raise AdaptlabError("only examples with one label, asked at the last token, become rows")
    return [{"input_ids": list(each.ids), "labels": each.targets[0]} for each in examples]
