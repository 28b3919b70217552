"""Texts become the right tokens and targets, and every example weighs the same."""

import numpy as np
import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.tuning import network
from adaptlab.tuning.examples import Example, Examples, answer, classify, collate, shuffled, text
from tests.gpt_small import one_thread as one_thread
from tests.tuning_small import last_logits, small_model, toy

TEXTS = ["a good film", "so bad", "what a great and lovely thing to see", "awful"]
ANSWERS = [" positive, I say", " negative", " yes", " no no"]


def ids(tokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text).input_ids)


def test_a_label_is_asked_at_the_last_token(tokenizer):
    made = classify(tokenizer, TEXTS, [1, 0, 1, 0])
    assert made.truncated == 0
    for example, said, label in zip(made, TEXTS, [1, 0, 1, 0], strict=True):
        assert example.ids == ids(tokenizer, said)
        assert (example.positions, example.targets) == ((len(example.ids) - 1,), (label,))


def test_an_answers_tokens_are_asked_at_those_before_them(tokenizer):
    for example, prompt, said in zip(
        answer(tokenizer, TEXTS, ANSWERS), TEXTS, ANSWERS, strict=True
    ):
        start, whole = ids(tokenizer, prompt), ids(tokenizer, prompt + said)
        assert example.ids == whole[:-1]
        assert example.targets == whole[len(start) :]
        assert example.positions == tuple(range(len(start) - 1, len(whole) - 1))


def test_a_text_is_asked_everywhere_in_rows_of_a_length(tokenizer):
    whole = ids(tokenizer, TEXTS[2])
    assert len(whole) == 8
    rows = text(tokenizer, [TEXTS[2], "so"], 3)
    expected = [(whole[0:2], whole[1:3]), (whole[3:5], whole[4:6]), (whole[6:7], whole[7:8])]
    assert [(row.ids, row.targets) for row in rows] == expected  # "so" predicts nothing
    assert all(row.positions == tuple(range(len(row.ids))) for row in rows)


def test_of_a_long_text_the_end_is_kept_and_the_cuts_are_counted(tokenizer):
    with pytest.warns(UserWarning, match="1 of 4 texts were cut to 3 tokens"):
        made = classify(tokenizer, TEXTS, [0] * 4, limit=3)
    assert [each.ids for each in made] == [ids(tokenizer, said)[-3:] for said in TEXTS]
    assert made.truncated == sum(len(ids(tokenizer, said)) > 3 for said in TEXTS) == 1
    assert [each.positions[0] for each in made] == [len(each.ids) - 1 for each in made]


def test_examples_are_a_sequence():
    one, other = toy(3), Examples(toy(2, seed=1).rows, truncated=2)
    both = other + one + other
    assert (len(both), both.truncated) == (7, 4)
    assert both[0] == both[5] == other[0]
    assert both[2:5] == one
    assert list(both)[-1] == both[-1] == other[1]
    assert not Examples(())


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (lambda t: classify(t, [], []), "no examples"),
        (lambda t: classify(t, ["a", ""], [0, 1]), "text 1 is empty"),
        (lambda t: classify(t, ["a", "b"], [0]), "2 texts have 1 labels"),
        (lambda t: classify(t, ["a"], [0], limit=0), "at most 0 tokens"),
        (lambda t: classify(t, ["a", "b"], [0, None]), "text 1 has no label: None"),
        (lambda t: classify(t, ["a"], [float("nan")]), "text 0 has no label: nan"),
        (lambda t: classify(t, ["a"], [-1]), "text 0 has no label: -1"),
        (lambda t: classify(t, ["a"], ["positive"]), r"text 0 has no label: positive \(they are"),
        (lambda t: classify(t, ["a", "b"], [1.0, 0.5]), "text 1 has no label: 0.5"),
        (lambda t: Example((3, 4), (), ()), "at 0 positions and has 0 targets"),
        (lambda t: Example((3, 4), (2,), (5,)), "of 2 tokens is asked beyond them"),
        (lambda t: Example((3, 4), (0, 1), (5,)), "at 2 positions and has 1 targets"),
        (lambda t: answer(t, [], []), "no examples"),
        (lambda t: answer(t, ["a"], []), "1 texts have 0 answers"),
        (lambda t: answer(t, [""], ["a"]), "text 0 is empty"),
        (lambda t: answer(t, ["a"], [""]), "no tokens of its own"),
        (lambda t: answer(t, ["a posit"], ["ive"]), "'a positive' has no tokens of its own"),
        (lambda t: text(t, [], 8), "no examples"),
        (lambda t: text(t, ["so"], 8), "no text has two tokens"),
        (lambda t: text(t, ["a good film"], 1), "take 2 or more"),
    ],
)
def test_mistakes_are_one_line(tokenizer, job, message):
    with pytest.raises(AdaptlabError, match=message) as caught:
        job(tokenizer)
    assert "\n" not in str(caught.value)


def test_the_loss_is_that_of_transformers_on_each_answer(tiny, tokenizer, fp32):
    examples = answer(tokenizer, TEXTS, ANSWERS)
    theirs = []
    for each in examples:
        asked = torch.full((1, len(each.ids) + 1), -100)
        asked[0, 1:][list(each.positions)] = torch.tensor(each.targets)
        inputs = torch.tensor([[*each.ids, each.targets[-1]]])
        theirs.append(tiny(input_ids=inputs, labels=asked).loss.item())
    found, _ = network.Network(tiny, fp32).losses(examples)
    np.testing.assert_allclose(found, theirs, rtol=1e-5)
    # Answers of 5 tokens and of 1 weigh the same: the batch's loss is the sum of the examples'.
    total = network.loss(tiny, collate(examples)).item()
    assert total == pytest.approx(sum(theirs), rel=1e-5)
    weights = collate(examples).weights
    assert sorted(set(weights.tolist()))[-1] == 1
    assert weights.sum().item() == pytest.approx(len(examples))


def test_scores_and_accuracy_are_those_of_each_text_alone(fp32):
    model, examples = small_model(), toy(30)
    found = network.Network(model, fp32)
    plain = last_logits(model, examples)
    np.testing.assert_allclose(found.scores(examples), plain, atol=1e-5)
    losses, right = found.losses(examples)
    labels = [each.targets[0] for each in examples]
    theirs = -torch.tensor(plain).log_softmax(-1)[range(30), labels]
    np.testing.assert_allclose(losses, theirs, rtol=1e-5)
    assert right.tolist() == (plain.argmax(1) == labels).tolist()


def test_scores_are_of_one_position(fp32):
    model = network.Network(small_model(), fp32)
    for examples in ([], [*toy(2), Example((7, 8, 9), (1, 2), (3, 4))]):
        with pytest.raises(AdaptlabError, match="each asked at one position"):
            model.scores(examples)


def test_an_epoch_has_every_example_once_and_its_own_order():
    examples = toy(150)
    epochs = [list(shuffled(examples, 4, seed=1, epoch=epoch)) for epoch in range(2)]
    for batches in epochs:
        assert sorted(map(id, examples)) == sorted(id(each) for batch in batches for each in batch)
        assert sorted(len(batch) for batch in batches) == [2] + [4] * 37
    assert epochs[0] != epochs[1]
    assert epochs[0] == list(shuffled(examples, 4, seed=1, epoch=0))
    assert epochs[0] != list(shuffled(examples, 4, seed=2, epoch=0))


def test_like_lengths_come_together():
    def padded(batches):
        return sum(max(len(each.ids) for each in batch) * len(batch) for batch in batches)

    examples = toy(256)
    in_order = [examples[at : at + 8] for at in range(0, 256, 8)]
    real = sum(len(each.ids) for each in examples)
    sorted_in_pools = padded(shuffled(examples, 8, seed=0, epoch=0))
    assert sorted_in_pools - real < (padded(in_order) - real) / 3
