"""Tests of headwater: `python -m tests` runs every gate."""
