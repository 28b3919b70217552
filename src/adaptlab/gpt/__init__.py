"""A decoder-only transformer, its tokenisers, pretraining and sampling, written to be read."""
