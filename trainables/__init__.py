"""What one trial is: pure torch cores, each wrapped by a thin Ray Tune trainable."""
