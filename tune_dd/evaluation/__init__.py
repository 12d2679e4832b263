"""The best of a sweep again on fresh seeds, beside all controls, and then on test."""
