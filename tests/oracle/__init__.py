"""Naive twins: the same answers as the kernels, computed the slow and obvious way."""
