"""`make bench`: our code beside the plain way, in one process, taking turns; medians.

Writes build/bench.json: a list of {name, ours, theirs, unit, ratio, target}. `ratio` is how many
times ours is better; `target` is what it should at least be. Names given as arguments (ONLY=name)
select benchmarks.
"""

import json
import sys
from dataclasses import asdict

from adaptlab import paths, runtime
from adaptlab.errors import unknown
from tests.bench import features, gpt, lora, quantize, scoring, tuning

BENCHMARKS = {
    "few_shot_scoring": scoring.run,
    "features": features.run,
    "gpt2_training_step": gpt.training,
    "character_model_training": gpt.characters,
    "generation": gpt.generation,
    "tuning": tuning.run,
    "lora": lora.run,
    "quantize": quantize.run,
}


def main(names: list[str]) -> None:
    for name in names:
        if name not in BENCHMARKS:
            sys.exit(f"bench: {unknown('benchmark', name, BENCHMARKS)}")
    runtime.quiet()
    runtime.seed_everything(0)
    file = paths.build("bench").with_suffix(".json")
    known = {row["name"]: row for row in json.loads(file.read_text())} if file.exists() else {}
    for name in names or BENCHMARKS:
        for result in BENCHMARKS[name]():
            known[result.name] = asdict(result)
            print(result, flush=True)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(list(known.values()), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
