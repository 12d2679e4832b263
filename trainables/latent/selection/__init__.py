"""RL-Selection: choosing real latents under a budget per class."""
