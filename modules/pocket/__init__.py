"""Pocket: a small latent diffusion model of our own, from the renderer of its world to the exported weights."""
