"""Distillation of reinforcement-learning tasks, in torch and gymnasium alone."""
