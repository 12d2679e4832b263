"""Clusters of several machines: what their nodes are and share, and what is done once for all of them."""
