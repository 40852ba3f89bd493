"""Generators of images that are trained here: a VAE and a flow."""
