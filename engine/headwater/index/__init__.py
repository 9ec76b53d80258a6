"""The throw-away view of a store's runs in SQLite: the look-up side of traces, lists of runs, lineage.

It is fed from runs' logs and from nothing else, so deleting it costs time only. Damage is noticed when it is met, and
mended by building the view anew.
"""

from __future__ import annotations

from headwater.index.view import Index, RunSummary, Use

__all__ = ["Index", "RunSummary", "Use"]
