"""Adapters (LoRA and its kin) of every dialect: read, matched, applied beside the weights.

Reading, matching and reporting import no torch; `apply` and what it is made of do.
"""
