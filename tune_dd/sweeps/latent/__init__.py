"""Sweeps of latent distillations."""
