"""RL-Selection: choosing real latents under a budget per class. So far, what a choice is worth."""
