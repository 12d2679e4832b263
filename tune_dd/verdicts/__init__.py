"""Whether reinforcement learning helps: RL methods beside their controls, at equal cost in rewards."""
