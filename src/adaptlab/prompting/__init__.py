"""Scoring answers under a prompt, and prompts under an objective."""
