"""Frozen features, what a linear classifier reads from them, and what it would read anyway."""
