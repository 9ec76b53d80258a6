"""Perform one attempt, in any process: inputs, function, outputs, outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.worker.alone import perform_alone as perform_alone
    from headwater.worker.current import idempotency_key as idempotency_key
    from headwater.worker.loading import offer as offer
    from headwater.worker.loading import withdraw as withdraw
    from headwater.worker.perform import Place as Place
    from headwater.worker.perform import perform as perform
    from headwater.worker.pool import StepPool as StepPool
    from headwater.worker.process import StepProcess as StepProcess

#: Public name → the module that holds it; a step process starts quickly because it imports only what it needs.
_HOMES = {
    "Place": "perform",
    "StepPool": "pool",
    "StepProcess": "process",
    "idempotency_key": "current",
    "offer": "loading",
    "perform": "perform",
    "perform_alone": "alone",
    "withdraw": "loading",
}

__all__ = [
    "Place",
    "StepPool",
    "StepProcess",
    "idempotency_key",
    "offer",
    "perform",
    "perform_alone",
    "withdraw",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'headwater.worker' has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"headwater.worker.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
