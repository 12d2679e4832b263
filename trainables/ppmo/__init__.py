"""Proximal policy meta-optimisation on RLlib's new API stack."""
