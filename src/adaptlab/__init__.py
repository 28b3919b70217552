"""Adapting LLMs: the helpers under the course's notebooks."""

__version__ = "0.1.0"
