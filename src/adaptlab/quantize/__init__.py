"""Number formats, and a model's weights in fewer bits: rounded afterwards, or trained for it."""
