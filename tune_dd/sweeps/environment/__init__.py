"""Sweeps of environment distillations."""
