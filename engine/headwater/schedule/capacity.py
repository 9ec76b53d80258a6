"""Capacities and what steps take from them, counted exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headwater.types import Resources

#: What one attempt takes: (capacity, amount) pairs, sorted, none of them 0.
#: Amounts other than bytes are in millionths, so that 0.1 taken ten times and given back leaves nothing behind.
Demand: TypeAlias = tuple[tuple[str, int], ...]

_PARTS = 1_000_000


def demand_of(resources: Resources) -> Demand:
    """Say what an attempt with these resources takes."""
    return tuple(sorted((name, amount) for name, amount in _amounts(resources).items() if amount))


def _amounts(resources: Resources) -> dict[str, int]:
    amounts = {"cpus": round(resources.cpus * _PARTS), "gpus": round(resources.gpus * _PARTS)}
    memory = resources.memory_bytes
    if memory is not None:
        amounts["memory"] = memory
    for name, amount in resources.named.items():
        amounts[f"named.{name}"] = round(amount * _PARTS)
    return amounts


class Pool:
    """What one backend can give, and what is taken of it now."""

    __slots__ = ("_capacity", "_uncounted", "_used")

    def __init__(self, capacity: Resources | None) -> None:
        #: None where the backend queues by itself.
        self._capacity: Mapping[str, int] | None = None if capacity is None else _amounts(capacity)
        # A capacity without a figure for memory does not say "no memory".
        self._uncounted = frozenset({"memory"} if capacity is not None and capacity.memory is None else ())
        self._used: dict[str, int] = {}

    def has_room(self, demand: Demand) -> bool:
        """Tell whether an attempt may start now."""
        capacity, used = self._capacity, self._used
        if capacity is None:
            return True
        for name, amount in demand:
            if used.get(name, 0) + amount > capacity.get(name, 0) and name not in self._uncounted:
                return False
        return True

    def take(self, demand: Demand) -> None:
        """Note that an attempt was started."""
        for name, amount in demand:
            self._used[name] = self._used.get(name, 0) + amount

    def give_back(self, demand: Demand) -> None:
        """Note that an attempt ended."""
        for name, amount in demand:
            self._used[name] -= amount

    def shortage(self, demand: Demand) -> str:
        """Say what even the empty pool lacks for this demand: ``"16 cpus of 8, 2 gpus of 0"``; "" if nothing."""
        if self._capacity is None:
            return ""
        return ", ".join(
            f"{_figure(name, amount)} {name} of {_figure(name, self._capacity.get(name, 0))}"
            for name, amount in demand
            if amount > self._capacity.get(name, 0) and name not in self._uncounted
        )

    def used(self) -> dict[str, int]:
        """Say what is taken now, leaving out what is not taken at all."""
        return {name: amount for name, amount in self._used.items() if amount}

    def overdrawn(self) -> bool:
        """Tell whether more is taken than there is; never so."""
        everything = tuple(self._used.items())
        return any(amount < 0 for _, amount in everything) or bool(self.shortage(everything))


def _figure(name: str, amount: int) -> str:
    return str(amount) if name == "memory" else f"{amount / _PARTS:g}"
