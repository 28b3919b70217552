"""Ways to ask for an answer: each takes a model and questions and gives a `Solution` for each."""
