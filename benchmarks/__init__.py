"""Benchmarks: `make bench`. Ratios within one run mean more than figures of two machines."""
