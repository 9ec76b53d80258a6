"""Backends of this machine: ``inline`` performs in the calling thread, ``threads`` in a few threads."""

from headwater.local.inline import InlineBackend
from headwater.local.threads import ThreadsBackend

__all__ = ["InlineBackend", "ThreadsBackend"]
