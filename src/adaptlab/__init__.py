"""Adapting LLMs: the helpers under the course's notebooks."""

import warnings

__version__ = "0.1.0"

# Libraries ask for widgets when they are imported; text progress bars are all the course needs.
warnings.filterwarnings("ignore", message="IProgress not found")
