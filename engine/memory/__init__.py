"""Memory: what the machine has, and what stays in it between jobs."""
