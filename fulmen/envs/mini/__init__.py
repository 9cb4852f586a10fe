"""The three environments of the demo: prompts and answers of a few dozen tokens, for models of a million parameters."""
