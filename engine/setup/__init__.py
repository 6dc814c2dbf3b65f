"""Setting up the program: what the machine is, which PyTorch build fits it, installing it.

Everything here runs before anything is installed, so it imports the standard library alone,
and nothing of the rest of the engine.
"""
