"""A sweep as one page: what it found, what it cost, and the way back to every trial."""
