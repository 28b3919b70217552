"""Four ways to write a template's blocks and an input, each with its inverse.

    xml     <CONTEXT>              json    "context": "..."      plain   CONTEXT:
            a &lt; b                                                     a < b
            </CONTEXT>                                                   Input: ...
                                                                         Output:
    chat    system: the blocks as XML; user, assistant: the examples; user: the input

No text can pose as a block. XML and JSON escape what they must; in plain form a line that looks
like a prefix is quoted with "> ", and so is one that begins with a quote already. A conversation
keeps texts apart by itself, but for control tokens (`template.plain_text`).
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

from adaptlab.errors import AdaptlabError

Blocks = Mapping[str, Any]  # as `Template.blocks` gives them

PREFIXES = {
    "objective_and_persona": "TASK",
    "instructions": "STEPS",
    "dos": "DO",
    "donts": "DO NOT",
    "context": "CONTEXT",
    "output_format": "OUTPUT FORMAT",
    "few_shot_examples": "EXAMPLES",
    "recap": "RECAP",
    "input": "Input",
    "thoughts": "Thoughts",
    "output": "Output",
}
LISTS = ("instructions", "dos", "donts")
BLOCK_OF = {prefix: name for name, prefix in PREFIXES.items()}
ANY_PREFIX = "|".join(PREFIXES.values())
PREFIX = re.compile(rf"^({ANY_PREFIX}):(?:[ \n]|\Z)", re.M)
LOOKS_LIKE_PREFIX = re.compile(rf"> |[\W_]*(?:{ANY_PREFIX})[\W_]*?[:：]", re.I)
NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Form(NamedTuple):
    """write: blocks and an input to a prompt. read: back; AdaptlabError if it is no such prompt."""

    write: Callable[[Blocks, str], Any]
    read: Callable[[Any], tuple[dict[str, Any], str]]


def _write_xml(blocks: Blocks, text: str) -> str:
    return _elements({**blocks, "input": text})


def _elements(values: Blocks) -> str:
    return "\n".join(f"<{k.upper()}>\n{_content(v)}\n</{k.upper()}>" for k, v in values.items())


def _content(value: Any) -> str:
    if isinstance(value, Mapping):
        return _elements(value)
    if isinstance(value, str):
        return _escaped(value)
    if isinstance(value[0], str):
        return _escaped(_numbered(value))
    return "\n".join(_elements({"example": example}) for example in value)


def _escaped(text: str) -> str:
    """Characters that XML cannot hold become elements: "\\x1b" is <CHAR code="27"/>."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;")):
        text = text.replace(character, entity)  # a bare \r would be read as \n
    return NOT_IN_XML.sub(lambda found: f'<CHAR code="{ord(found[0])}"/>', text)


def _read_xml(prompt: str) -> tuple[dict[str, Any], str]:
    blocks = _read_elements(prompt)
    if not isinstance(blocks.get("input"), str):
        raise AdaptlabError("this is no prompt in XML form: it has no input")
    return blocks, blocks.pop("input")


def _read_elements(rendered: str) -> dict[str, Any]:
    try:
        return _values(ElementTree.fromstring(f"<PROMPT>{rendered}</PROMPT>"))
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        raise AdaptlabError(f"this is no prompt in XML form: {error}") from None


def _values(parent: ElementTree.Element) -> dict[str, Any]:
    return {child.tag.lower(): _value(child) for child in parent}


def _value(element: ElementTree.Element) -> Any:
    name = element.tag.lower()
    if name == "few_shot_examples":
        return [_values(example) for example in element]
    if name == "constraints":
        return _values(element)
    text = element.text or ""
    for child in element:
        text += chr(int(child.get("code", ""))) + (child.tail or "")
    text = text.removeprefix("\n").removesuffix("\n")  # the tags' own lines
    return _unnumbered(text) if name in LISTS else text


def _write_json(blocks: Blocks, text: str) -> str:
    return json.dumps({**blocks, "input": text}, ensure_ascii=False, indent=2)


def _read_json(prompt: str) -> tuple[dict[str, Any], str]:
    try:
        blocks = json.loads(prompt)
        return blocks, blocks.pop("input")
    except (ValueError, TypeError, AttributeError, KeyError):
        raise AdaptlabError("this is no prompt in JSON form") from None


def _write_plain(blocks: Blocks, text: str) -> str:
    """Ends on "Output:", for a model that continues texts."""
    parts = [part for name, value in blocks.items() for part in _parts(name, value)]
    return "\n".join([*parts, *_parts("input", text), "Output:"])


def _parts(name: str, value: Any) -> Iterator[str]:
    """Prefixes with their texts: blocks on lines of their own, an example's parts beside them."""
    if name == "constraints":
        for kind, rules in value.items():
            yield from _parts(kind, rules)
    elif name == "few_shot_examples":
        yield f"{PREFIXES[name]}:"
        for example in value:
            for part, text in example.items():
                yield from _parts(part, text)
    else:
        space = " " if name in ("input", "thoughts", "output") else "\n"
        text = value if isinstance(value, str) else _numbered(value)
        yield f"{PREFIXES[name]}:{space}{_quoted(text)}"


def _read_plain(prompt: str) -> tuple[dict[str, Any], str]:
    parts = _read_parts(prompt) if PREFIX.match(prompt) else []
    if [name for name, _ in parts[-2:]] != ["input", "output"] or parts[-1][1]:
        raise AdaptlabError("this is no prompt in plain form: it does not end on input and output")
    blocks: dict[str, Any] = {}
    for name, text in parts[:-2]:
        if name in ("dos", "donts"):
            blocks.setdefault("constraints", {})[name] = _unnumbered(text)
        elif name == "few_shot_examples":
            blocks[name] = []
        elif name in ("input", "thoughts", "output") and "few_shot_examples" in blocks:
            examples = blocks["few_shot_examples"]
            if name == "input":
                examples.append({})
            examples[-1][name] = text
        else:
            blocks[name] = _unnumbered(text) if name in LISTS else text
    return blocks, parts[-2][1]


def _read_parts(prompt: str) -> list[tuple[str, str]]:
    found = list(PREFIX.finditer(prompt))
    ends = [each.start() - 1 for each in found[1:]] + [len(prompt)]
    return [
        (BLOCK_OF[each[1]], _unquoted(prompt[each.end() : end]))
        for each, end in zip(found, ends, strict=True)
    ]


def _write_chat(blocks: Blocks, text: str) -> list[dict[str, str]]:
    system = {name: value for name, value in blocks.items() if name != "few_shot_examples"}
    messages = [{"role": "system", "content": _elements(system)}]
    for example in blocks.get("few_shot_examples", ()):
        parts = [("thoughts", example.get("thoughts")), ("output", example["output"])]
        said = [part for name, value in parts if value is not None for part in _parts(name, value)]
        alone = _quoted(example["output"])
        answer = "\n".join(said) if "thoughts" in example else alone
        messages.append({"role": "user", "content": example["input"]})
        messages.append({"role": "assistant", "content": answer})
    return [*messages, {"role": "user", "content": text}]


def _read_chat(messages: Sequence[Mapping[str, str]]) -> tuple[dict[str, Any], str]:
    roles = [message["role"] for message in messages]
    turns = [message["content"] for message in messages]
    if roles != ["system", *["user", "assistant"] * (len(roles) // 2 - 1), "user"]:
        raise AdaptlabError(f"this is no prompt in chat form: its roles are {roles}")
    blocks = _read_elements(turns[0])
    examples = [
        {"input": asked, **_read_answer(said)}
        for asked, said in zip(turns[1:-1:2], turns[2:-1:2], strict=True)
    ]
    return blocks | ({"few_shot_examples": examples} if examples else {}), turns[-1]


def _read_answer(said: str) -> dict[str, str]:
    return dict(_read_parts(said)) if PREFIX.match(said) else {"output": _unquoted(said)}


def _numbered(items: Sequence[str]) -> str:
    """ "1. " before each item, and three spaces before the other lines of an item."""
    lines = [item.splitlines(keepends=True) for item in items]
    return "\n".join(f"{i}. {'   '.join(each)}" for i, each in enumerate(lines, 1))


def _unnumbered(text: str) -> list[str]:
    items = [re.sub(r"\A[0-9]+\. ", "", item) for item in re.split(r"\n(?=[0-9]+\. )", text)]
    return ["".join(_without(item, "   ")) for item in items]


def _without(item: str, indent: str) -> Iterator[str]:
    for number, line in enumerate(item.splitlines(keepends=True)):
        yield line.removeprefix(indent) if number else line


def _quoted(text: str) -> str:
    return "".join(
        f"> {line}" if LOOKS_LIKE_PREFIX.match(line) else line
        for line in text.splitlines(keepends=True)  # at all that may show as a line's end
    )


def _unquoted(text: str) -> str:
    return "".join(line.removeprefix("> ") for line in text.splitlines(keepends=True))


FORMS = {
    "xml": Form(_write_xml, _read_xml),
    "json": Form(_write_json, _read_json),
    "plain": Form(_write_plain, _read_plain),
    "chat": Form(_write_chat, _read_chat),
}
