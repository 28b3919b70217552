"""`make newcomer`: what a newcomer does, timed. Each command runs alone in a fresh clone.

Writes data/results/commands.json, from which the README takes its times.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from adaptlab import paths, records, runtime

COMMANDS = ("make course PROFILE=smoke", "make test")
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")  # an empty environment, but for these


def main() -> int:
    root = paths.checkout()
    runs = []
    for command in COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            clone = Path(folder, "adapting-llms")
            subprocess.run(["git", "clone", "-q", root, clone], check=True)
            start = time.perf_counter()
            done = subprocess.run(command.split(), cwd=clone, env=_bare_environment())
            runs.append({"command": command, "seconds": round(time.perf_counter() - start, 1)})
            if done.returncode:
                sys.exit(f"{command} ended with {done.returncode}")
    made = records.provenance("00_tour", runtime.detect())
    measured = {
        "runs": runs,
        "machine": f"{made['processor']}, {made['cores']} cores",
        "date": datetime.now(UTC).date().isoformat(),
        "revision": made["revision"],
    }
    (paths.results() / "commands.json").write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps(measured, indent=1))
    return 0


def _bare_environment() -> dict[str, str]:
    """What a fresh login has, and how to reach the package index."""
    named = ("PIP_", "SSL_", "http", "HTTP", "no_proxy", "NO_PROXY")
    return {k: v for k, v in os.environ.items() if k in KEPT or k.startswith(named)}


if __name__ == "__main__":
    sys.exit(main())
