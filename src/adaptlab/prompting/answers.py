"""What a server's JSON says: texts and why they ended, tokens used, log-probabilities.

Servers differ in what they leave out, so nothing here is taken for granted. `Garbled` is raised
for what may be well at the next try, AdaptlabError for what will not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.interface import Completion
from adaptlab.prompting.retrying import Garbled
from adaptlab.prompting.stopping import before


@dataclass(frozen=True)
class Reply:
    """One JSON answer. answers: what is kept of each choice, as JSON. Tokens: 0 if not told."""

    answers: list[dict[str, Any]]
    prompt_tokens: int
    new_tokens: int


def read_texts(body: Any) -> Reply:
    """The choices of a chat or text completion: {"text", "finish", "tokens"} each."""
    choices = _choices(body)
    prompt, new = _used(body)
    each, rest = divmod(new, len(choices))  # servers tell only the sum over all choices
    answers = []
    for number, choice in enumerate(choices):
        tokens = each + (number < rest)
        text, finish = _text(choice), choice.get("finish_reason")
        if text is None:
            raise AdaptlabError(
                f"an answer has no text (it ended by {finish!r} after {tokens} tokens); a model "
                "that thinks unseen needs more max_tokens"
            )
        answers.append({"text": text, "finish": finish, "tokens": tokens})
    return Reply(answers, prompt, new)


def read_logprobs(body: Any, prompt: str) -> Reply:
    """The echoed prompt's tokens: {"tokens", "logprobs"}; those generated after it are left out.

    Raises AdaptlabError if the server sent something else.
    """
    choice = _choices(body)[0]
    logprobs = choice.get("logprobs")
    tokens, found = (
        (logprobs.get("tokens"), logprobs.get("token_logprobs"))
        if isinstance(logprobs, Mapping)
        else (None, None)
    )
    if not (isinstance(tokens, list) and isinstance(found, list) and len(tokens) == len(found)):
        raise AdaptlabError("it sends no log-probabilities")
    if not (_text(choice) or "").startswith(prompt):
        raise AdaptlabError("it sends log-probabilities, but not of the prompt (no echo)")
    read, new = _used(body)
    count = len(tokens) - (new if _tells_usage(body) else 1)  # one was to be generated
    return Reply([{"tokens": tokens[:count], "logprobs": found[:count]}], read, new)


def completion(answer: Mapping[str, Any], stop: Sequence[str], max_tokens: int) -> Completion:
    """A kept answer as a Completion. Some servers send the stop string, or write on after it."""
    text = before(answer["text"], stop)
    full = answer["finish"] is None and answer["tokens"] >= max_tokens
    cut = text == answer["text"] and (answer["finish"] in ("length", "max_tokens") or full)
    return Completion(text, answer["tokens"], "length" if cut else "stop")


def option_score(prompt: Mapping[str, Any], joined: Mapping[str, Any], option: str) -> float:
    """log p(option | prompt) in nats, from the log-probabilities of prompt and prompt + option.

    Raises AdaptlabError if the option has no tokens, or merges with the end of its prompt.
    """
    start, tokens = prompt["tokens"], joined["tokens"]
    if tokens[: len(start)] != start:
        raise AdaptlabError(
            f"option {option!r} merges with the end of its prompt: "
            "move the space between them into the option"
        )
    found = joined["logprobs"][len(start) :]
    if not found or not start:
        raise AdaptlabError(f"option {option!r} or its prompt has no tokens")
    if not all(isinstance(value, int | float) for value in found):
        raise AdaptlabError(f"option {option!r}: the server leaves log-probabilities out")
    return float(sum(found))


def _choices(body: Any) -> list[Mapping[str, Any]]:
    if not isinstance(body, Mapping):
        raise Garbled(f"JSON that is no object: {body!r}")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise Garbled(f"no choices: {body!r}")  # where a proxy reports an error, it stands here
    if not all(isinstance(choice, Mapping) for choice in choices):
        raise Garbled(f"choices that are no objects: {choices!r}")
    return choices


def _text(choice: Mapping[str, Any]) -> str | None:
    """The text of a choice: where chat has it, or where text completion does."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    return text if isinstance(text, str) else None


def _tells_usage(body: Mapping[str, Any]) -> bool:
    usage = body.get("usage")
    return isinstance(usage, Mapping) and isinstance(usage.get("completion_tokens"), int)


def _used(body: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens of the prompt and new ones, as the server reports them."""
    usage = body.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    prompt, new = usage.get("prompt_tokens"), usage.get("completion_tokens")
    return (prompt if isinstance(prompt, int) else 0), (new if isinstance(new, int) else 0)
