"""Number types of weights: which layers become int8, and how they compute."""
