"""Prices as they are stored, imported, checked and sampled; each name lives in the file of its noun."""
