"""From bytes of strangers to the networks of `engine.model`, and back."""
