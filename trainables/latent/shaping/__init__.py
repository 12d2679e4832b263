"""RL-Shaping: an actor-critic schedules the weights of loss terms while prototypes learn."""
