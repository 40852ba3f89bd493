"""Generators of texts: a VAE that is trained here, and any causal language model."""
