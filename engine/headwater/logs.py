"""The engine's own log: events with facts, the same that go to the record; off unless ``HEADWATER_LOG`` asks for it.

``HEADWATER_LOG=info`` or ``debug`` prints lines for people to stderr, ``HEADWATER_LOG=json`` one JSON object a line.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, cast

from headwater.errors import ConfigError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

VARIABLE = "HEADWATER_LOG"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "json": logging.INFO}


def logger() -> FilteringBoundLogger | None:
    """Return the engine's log, or None where nobody asked for one; structlog is imported only then."""
    wish = os.environ.get(VARIABLE, "").lower()
    if not wish:
        return None
    if wish not in _LEVELS:
        raise ConfigError(f"{VARIABLE} cannot be {wish!r}", facts={"known": ", ".join(_LEVELS)})
    import structlog

    render = structlog.processors.JSONRenderer() if wish == "json" else structlog.dev.ConsoleRenderer(colors=False)
    made = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[wish]),
    )
    return cast("FilteringBoundLogger", made)
