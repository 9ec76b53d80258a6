"""The contract suites that a plugin's author inherits: numbered clauses, as tests, against one fixture.

from headwater.testing import StoreContract

class TestMyStore(StoreContract):
    @pytest.fixture
    def store_factory(self): ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.testing.backends import BackendContract as BackendContract
    from headwater.testing.codecs import CodecContract as CodecContract
    from headwater.testing.stores import StoreContract as StoreContract

#: Public name → the module that holds it; imported when first asked for, since each needs pytest.
_HOMES = {
    "BackendContract": "backends",
    "CodecContract": "codecs",
    "StoreContract": "stores",
}

__all__ = ["BackendContract", "CodecContract", "StoreContract"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'headwater.testing' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"headwater.testing.{_HOMES[name]}"), name)
