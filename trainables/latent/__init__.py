"""Latent dataset distillation in pure torch: no Ray in here."""
