"""Adapting LLMs: the helpers under the course's notebooks."""

import logging
import warnings

__version__ = "0.1.0"

# What libraries say while they are imported: that widgets are missing, or kernels of a Hub.
warnings.filterwarnings("ignore", message="IProgress not found")
logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
