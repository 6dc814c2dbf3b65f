"""Tasks: what a request means, decided before anything is loaded, and how a picture begins."""
