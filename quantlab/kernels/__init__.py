"""Compiled loops: arrays in, arrays out. No files, no clocks, no objects, no other quantlab import."""
