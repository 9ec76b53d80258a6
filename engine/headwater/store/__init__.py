"""Where everything lives: immutable objects by digest, small named refs, append-only logs.

A store is a folder or anything that fsspec reaches; :func:`open_store` tells them apart by the URL, and from there on
they behave alike (the clauses are in :mod:`headwater.testing.stores`).
"""

from headwater.store.logs import Appender, Recovered
from headwater.store.objects import ObjectInfo, Verify
from headwater.store.store import Store, open_store

__all__ = ["Appender", "ObjectInfo", "Recovered", "Store", "Verify", "open_store"]
