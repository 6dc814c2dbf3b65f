"""Maths of the networks: transformer, autoencoder, text encoder."""
