"""What must hold of notebook 07's records, whatever the scores are."""

from adaptlab import profiles
from adaptlab.records import Record

WIDTH, DEPTH = 576, 30  # of SmolLM2-135M


def probed(written: list[Record]) -> None:
    """Every probe and control made, on the same items, and nothing read where nothing can be."""
    budget = profiles.load("smoke", "07_feature_probing")
    layers = list(range(0, DEPTH + 1, budget.layer_step))
    of = {name: [r for r in written if r.experiment == name] for name in _experiments(written)}

    cost = {record.method: record.score for record in of["cost"]}
    assert cost["read what was stored"] < cost["run the model, and store"]
    numbers = 4 * (DEPTH + 1) * WIDTH * budget.train_examples  # four poolings
    assert 4e-6 * numbers < cost["their features"] < 4.1e-6 * numbers  # MB, in fp32

    maps = {r.method: r.config for r in of["layer and pooling"] if "accuracy" in r.config}
    assert set(maps) == {"probe", "shuffled labels", "random weights"}
    for config in maps.values():
        assert config["layers"] == layers
        assert [len(row) for row in config["accuracy"]] == [len(layers)] * len(config["poolings"])
    found = dict(zip(maps["probe"]["poolings"], maps["probe"]["accuracy"], strict=True))
    assert len(set(found["first"])) == 1  # the first token sees only itself
    assert found["last"][0] == found["first"][0]  # every question ends with the same token

    board = {record.method: record for record in of["controls"]}
    embeddings = {"embeddings, mean", "embeddings, last"}
    assert set(board) == {
        *("probe", "shuffled labels", "random weights", "bag of words"),
        *embeddings,
    }
    assert len({r.items for name in ("controls", "poolings") for r in of[name]}) == 1
    assert {len(r.predictions) for r in board.values()} == {budget.test_examples}
    probes = [record for name, record in board.items() if name != "bag of words"]
    assert {record.trained_parameters for record in probes} == {WIDTH + 1}
    assert len(set(board["embeddings, last"].predictions)) == 1

    weakest = f"C = {max(budget.strengths):g}"
    heart = {r.method: r.score for r in of["by heart"] if r.split == "train"}
    assert heart[f"true labels, {weakest}"] == heart[f"by lot, {weakest}"] == 1

    runs = of["data efficiency"]
    assert {r.items for r in runs} == {board["probe"].items}
    curves = ("probe", "bag of words")
    points = {f"{name}, {n} examples" for name in curves for n in budget.curve}
    assert {r.method for r in runs} == {
        *points,
        *("zero-shot", "zero-shot, centred", "few-shot, centred"),
    }
    for method in points:
        assert len([r for r in runs if r.method == method]) == budget.draws + 1  # and their mean

    floors = {record.task: record.score for record in of["floor"]}
    assert set(floors) == {"length", "first letter", "question type", "sentiment"}
    assert len(of["encoded"]) == len(layers) * (4 + 3)  # random weights: not the question type
    unread = [r for r in of["encoded"] if r.method == "layer 0"]
    assert all(r.score == floors[r.task] for r in unread)  # every question ends alike
    chosen = [(r.task, r.method) for r in of["encoded, chosen on dev"]]
    assert len(chosen) == len(set(chosen)) == 4 + 3


def _experiments(written: list[Record]) -> set[str]:
    return {record.experiment for record in written}
