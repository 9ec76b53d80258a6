"""Headwater's backend for Dask: local by default, or any cluster by its scheduler's address."""
