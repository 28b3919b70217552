"""The setup cell, the same in every notebook, and the one place that names the repository."""

URL = "git+https://github.com/adapting-llms/adapting-llms"

# What the cell keeps is loaded before or with a notebook's kernel: exchanging it on disk would
# leave old and new code in one process (Colab then asks for a restart, or crashes). pip holds to
# a constraint that is met already without looking further, so builds like 2.13.0+cpu, which no
# index has, stay too. A Python that is too old is refused by pip, in a line the cell passes on.
SETUP = """
# Setup, the same in every notebook. Where adaptlab is missing (on Colab, or with this
# file alone) it is installed; torch, numpy and what else a kernel holds stay as is.
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

if find_spec("adaptlab") is None:
    url = "GIT_URL"
    print("Installing adaptlab; this takes a minute or two.")
    kept = ["torch", "torchvision", "numpy", "pandas", "matplotlib"]
    kept = [name for name in [*kept, "IPython", "ipykernel"] if find_spec(name)]
    pins = Path(mkdtemp(), "constraints.txt")
    pins.write_text("\\n".join(f"{name}=={version(name)}" for name in kept))
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(pins), url]
    log = subprocess.run(pip, stderr=subprocess.PIPE, text=True)
    if log.returncode:
        reasons = re.findall("(?:ERROR|fatal): .*", log.stderr) or [log.stderr]
        raise SystemExit(f"adaptlab could not be installed: {reasons[0]}")
""".strip().replace("GIT_URL", URL)
