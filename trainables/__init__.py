"""What one trial is: pure torch cores, each wrapped by a thin Ray Tune trainable."""

import os
import sys

# Threads that wait for each other should give their core back instead of spinning: on a machine that has
# other work too, spinning makes training many times slower. It is read once, as torch is first imported.
if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
