"""Runs in a cluster, from a laptop that has none of the app."""
