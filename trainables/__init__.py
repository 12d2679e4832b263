"""What one trial is: pure torch cores, each wrapped by a thin Ray Tune trainable."""

import os

# Threads that wait for each other give their core back instead of spinning: on a machine that has other
# work too, spinning makes training many times slower. It is read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
