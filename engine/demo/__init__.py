"""The procedurally drawn world on which the small Demo models are trained."""
