"""Answers that are kept: a run that broke off goes on, and no answer is ever another's."""

import json
import pickle
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.endpoint import Endpoint, EndpointConfig
from adaptlab.prompting.response_cache import ResponseCache
from adaptlab.sampling import Sampling
from tests import endpoint_fake as fakes

WARM = Sampling(0.7)
PROMPTS = ["a", "b", "c", "d"]


@pytest.fixture
def fake():
    with fakes.serving() as server:
        yield server


@pytest.fixture
def config(fake, tmp_path) -> EndpointConfig:
    return EndpointConfig(fake.url, "m", backoff=0.01, attempts=2, concurrency=2, cache=tmp_path)


def run(config, prompts=PROMPTS, **how) -> list[list[str]]:
    how = {"max_tokens": 8, "samples": 2, "sampling": WARM} | how
    return [[one.text for one in row] for row in Endpoint(config).generate(prompts, **how)]


def refused(act) -> str:
    with pytest.raises(AdaptlabError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows(folder) -> list[tuple[int, str]]:
    with sqlite3.connect(folder / "cache.db") as database:
        return database.execute("SELECT rowid, value FROM Cache").fetchall()


def rewrite(folder, rowid, value, mode=1) -> None:
    with sqlite3.connect(folder / "cache.db") as database:
        database.execute("UPDATE Cache SET value=?, mode=? WHERE rowid=?", (value, mode, rowid))


# What is kept is not asked again


def test_the_second_run_asks_nothing(fake, config):
    first = run(config)
    assert len(fake.asked) == 8
    model = Endpoint(config)
    again = model.generate(PROMPTS, 8, samples=2, sampling=WARM)
    assert [[one.text for one in row] for row in again] == first
    assert all(one.tokens == 3 for row in again for one in row)
    assert len(fake.asked) == 8
    usage = model.usage
    assert (usage.cached, usage.calls, usage.prompt_tokens, usage.new_tokens) == (8, 0, 0, 0)


def test_more_samples_and_prompts_ask_for_what_is_new(fake, config):
    first = run(config)
    fake.asked.clear()
    more = run(config, [*PROMPTS, "e"], samples=3)
    assert [row[:2] for row in more[:4]] == first
    assert len(fake.asked) == 4 + 3
    fake.asked.clear()
    fake.choose = fakes.n_choices
    most = run(replace(config, n=4), [*PROMPTS, "e"], samples=6)
    assert [row[:3] for row in most] == more
    assert [body["n"] for body in fake.asked] == [3] * 5


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": ["A", "B"]},
        {"prompts": [[{"role": "system", "content": "a"}], [{"role": "user", "content": "b "}]]},
        {"max_tokens": 9},
        {"sampling": Sampling(0.8)},
        {"sampling": Sampling(0.7, top_k=5)},
        {"sampling": Sampling(0.7, top_p=0.5)},
        {"sampling": Sampling(0.0)},
        {"stop": ["\n"]},
        {"seed": 1},
        {"mode": "completions"},
        {"extra": {"min_p": 0.1}},
        {"model": "other"},
        {"limit": "max_completion_tokens"},
    ],
    ids=str,
)
def test_whatever_is_different_is_asked(fake, config, change):
    run(config, ["a", "b"])
    fake.asked.clear()
    model = {name: change.pop(name) for name in ("mode", "extra", "model", "limit")
             if name in change}  # fmt: skip
    run(replace(config, **model), **{"prompts": ["a", "b"]} | change)
    assert len(fake.asked) == (2 if "sampling" in change and not change["sampling"].temperature
                               else 4)  # fmt: skip


# A cache of another model


def test_another_server_is_another_model(fake, config):
    run(config)
    with fakes.serving() as other:
        run(replace(config, base_url=other.url))
        assert len(other.asked) == 8


@pytest.mark.parametrize("field", ["root", "parent", "owned_by", "max_model_len", "meta"])
def test_another_model_by_the_same_name(fake, config, field):
    before, after = {"id": "m", field: {"one": 1}}, {"id": "m", field: {"one": 2}}
    other = {"id": "x", field: 3}
    fake.models = [other, before]
    old = run(config)
    fake.asked.clear()
    fake.models = [other, after]
    fake.choose = lambda path, body: [fakes.choice(path, f"new {body['seed']}")]
    new = run(config)
    assert len(fake.asked) == 8
    assert all(text.startswith("new") for row in new for text in row)
    fake.models = [before, other]  # the first is back, and so are its answers
    assert run(config) == old
    assert len(fake.asked) == 8


def test_a_server_of_one_model_answers_with_that_one(fake, config):
    fake.models = [{"id": "/models/first.gguf"}]
    run(config)
    fake.models = [{"id": "/models/second.gguf"}]
    run(config)
    assert len(fake.asked) == 16


def test_a_listing_that_tells_the_time_is_still_of_the_same_model(fake, config):
    for now in (1, 2):
        fake.models = [{"id": "m", "root": "/m", "created": now, "permission": [{"id": now}]}]
        run(config)
    assert len(fake.asked) == 8


@pytest.mark.parametrize("models", [{}, None, 403, 500, ["m"], [None], [{"id": "x"}, {"id": "y"}]])
def test_odd_listings_tell_nothing(fake, config, models):
    fake.models = models
    assert run(config) == run(config)
    assert len(fake.asked) == 8
    assert fake.listed == 2


@pytest.mark.parametrize("away", [408, 429, 502, 503])
def test_a_server_that_cannot_say_now_is_not_taken_for_any(fake, config, away):
    fake.models = away
    assert f"{away}: no listing now" in refused(lambda: run(config))
    assert not fake.asked


# A run that breaks off


def test_a_run_that_broke_off_asks_for_the_rest(fake, config):
    fake.script = [None] * 5 + [fakes.status(500)] * 100
    told = refused(lambda: run(config))
    assert "500: because" in told
    assert "5 of 8 answers are kept: run it again to go on" in told
    fake.script, asked = [], len(fake.asked)
    whole = run(config)
    assert len(fake.asked) - asked == 3
    assert whole == run(replace(config, cache=None))


def test_what_was_out_when_another_failed_is_kept(fake, config):
    def late(handler, body):
        fakes.time.sleep(0.3)
        handler.send(200, handler.answer(body))

    fake.script = [late, fakes.status(401)]
    assert "1 of 2 answers are kept" in refused(lambda: run(config, ["a", "b"], samples=1))


def test_nothing_is_said_to_be_kept_without_a_cache(fake, config):
    fake.script = [None] + [fakes.status(401)] * 9
    assert "kept" not in refused(lambda: run(replace(config, cache=None)))


def test_a_server_that_is_down_is_not_missed_where_all_is_kept(config):
    with fakes.serving() as fake:
        config = replace(config, base_url=fake.url)
        fake.models = [{"id": "m", "root": "/m"}]
        first = run(config)
    assert run(config) == first
    assert "does not answer" in refused(lambda: run(config, [*PROMPTS, "e"]))
    with fakes.serving(fake.port) as again:  # the same place, now with another model
        again.models = [{"id": "m", "root": "/other"}]
        run(config)
        assert len(again.asked) == 8


# Damage


DAMAGES = {
    "cut": lambda text: text[:-9],
    "other letters": lambda text: text.replace("seed", "good"),
    "empty": lambda text: "",
    "none": lambda text: None,
    "a number": lambda text: 7,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_item_is_asked_again(fake, config, tmp_path, damage):
    first = run(config)
    fake.asked.clear()
    for rowid, text in rows(tmp_path):
        rewrite(tmp_path, rowid, damage(text))
    assert run(config) == first
    assert len(fake.asked) == 8


def test_items_at_the_place_of_others_are_not_used(fake, config, tmp_path):
    first = run(config)
    fake.asked.clear()
    kept = rows(tmp_path)
    for (rowid, _), (_, text) in zip(kept, kept[1:] + kept[:1], strict=True):
        rewrite(tmp_path, rowid, text)
    assert run(config) == first
    assert len(fake.asked) == 8


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was read')",)


def test_a_pickle_is_not_read(fake, config, tmp_path):
    first = run(config)
    for rowid, _ in rows(tmp_path):
        rewrite(tmp_path, rowid, pickle.dumps(Bomb()), mode=4)
    assert run(config) == first
    assert len(fake.asked) == 16


def test_a_file_that_is_no_database(fake, config, tmp_path):
    (tmp_path / "cache.db").write_bytes(b"this is no database" * 100)
    told = refused(lambda: run(config))
    assert str(tmp_path) in told
    assert "name another folder" in told


def test_a_folder_that_is_a_file(fake, config, tmp_path):
    (tmp_path / "file").write_text("x")
    assert "name another folder" in refused(lambda: run(replace(config, cache=tmp_path / "file")))


def test_a_database_of_something_else(fake, config, tmp_path):
    with sqlite3.connect(tmp_path / "cache.db") as database:
        database.execute("CREATE TABLE Cache (name TEXT)")
    assert "name another folder" in refused(lambda: run(config))


# Keys


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["model", "body", "sample"]), JSON, max_size=3)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with_items = ResponseCache(tmp_path_factory.mktemp("cache"))
    yield with_items
    with_items.close()


@settings(max_examples=50, deadline=None)
@given(OBJECTS, OBJECTS, JSON)
def test_an_answer_is_found_by_its_request_only(cache, request, other, answer):
    cache._items.clear()
    cache.put(request, {"answer": answer})
    backwards = dict(reversed(request.items()))
    assert cache.get(backwards) == {"answer": answer}
    same = json.dumps(request, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (cache.get(other) is not None) == same
