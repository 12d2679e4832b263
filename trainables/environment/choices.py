"""What ``--help`` tells of settings; here so that it can do so without importing torch."""

from __future__ import annotations

FAMILIES = ("same", "ortho1", "xe", "random_size", "random_hidden")
"""``same``: the reference's own. ``ortho1``: orthogonal with gain 1 in every layer. ``xe``: Xavier, normal,
with gain sqrt 2 (last layer 0.01). ``random_size``: linear networks of 1 to 6 hidden layers.
``random_hidden``: hidden layers 32 to 256 wide."""
LEVELS = {"none": 0, "l1": 1, "l2": 2, "l3": 3, "l4": 4}
"""How many of the convolutional network's layers belong to an encoder that is learned with the set; the
others are a learner's."""
STATES_FOR_VECTORS = 64
"""States of a set where actions are vectors and nobody says how many."""
