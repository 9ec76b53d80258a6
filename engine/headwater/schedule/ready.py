"""The steps that could start, and which of them start now.

Steps that ask for the same (backend, limit group, resources) stand in one *lane*: if its first one has no room, none
has. So finding what starts looks at lanes, not at steps, and of those at no more than ``LOOK_AHEAD`` that have no room.
A step that has no room is overtaken by smaller ones, but not for ever: after ``OVERTAKEN`` times its backend is kept
free for it.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from headwater.schedule.capacity import Pool, demand_of
from headwater.schedule.state import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headwater.schedule.capacity import Demand
    from headwater.schedule.messages import Withdrawn
    from headwater.schedule.spec import Limits, StepSpec
    from headwater.schedule.state import Rank, StepState

#: How many lanes without room are passed by when something is looked for to start.
LOOK_AHEAD = 16
#: How often a step without room is overtaken.
OVERTAKEN = 32


class Lane:
    """Steps that ask for the same, best first."""

    __slots__ = ("_queue", "demand", "dock", "group", "number", "offered", "overtaken", "shortage")

    def __init__(self, dock: Dock, group: Group, demand: Demand, number: int) -> None:
        self.dock = dock
        self.group = group
        self.demand = demand
        #: Order of making; breaks ties.
        self.number = number
        #: What even an idle backend lacks for these steps; "" if nothing.
        self.shortage = dock.pool.shortage(demand)
        #: How often others started while its first step had no room.
        self.overtaken = 0
        #: The rank under which the dock lists it, if it does.
        self.offered: Rank | None = None
        self._queue: list[tuple[Rank, int, StepState]] = []

    def push(self, step: StepState) -> None:
        """Add a step; its token says which entry stands for it."""
        heappush(self._queue, (step.rank, step.token, step))

    def first(self) -> StepState | None:
        """Tell which step is next; entries of steps that went another way are dropped."""
        queue = self._queue
        while queue:
            _, token, step = queue[0]
            if step.phase is Phase.READY and step.token == token:
                return step
            heappop(queue)
        return None

    def pop(self) -> None:
        """Remove the first step."""
        heappop(self._queue)

    def has_room(self) -> bool:
        """Tell whether its steps fit beside what runs."""
        return self.dock.pool.has_room(self.demand)


class Group:
    """A limit on how many steps are under way, of a limit group or of the whole run."""

    __slots__ = ("most", "used")

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.used = 0

    def is_full(self) -> bool:
        """Tell whether one more would be too many."""
        return self.most is not None and self.used >= self.most


class Dock:
    """One backend: its room, and the lanes that lead to it."""

    __slots__ = ("_aside", "_front", "_misfit", "candidate", "name", "paused", "pool", "withdrawn")

    def __init__(self, name: str, pool: Pool) -> None:
        self.name = name
        self.pool = pool
        self.paused = False
        #: Why it takes no more attempts, as it was told.
        self.withdrawn: Withdrawn | None = None
        #: The lane whose first step would start next.
        self.candidate: Lane | None = None
        self._front: list[tuple[Rank, int, Lane]] = []
        self._aside: list[Lane] = []
        self._misfit: Lane | None = None

    def offer(self, lane: Lane) -> None:
        """List a lane under the rank of its first step."""
        step = lane.first()
        if step is not None and step.rank != lane.offered:
            lane.offered = step.rank
            heappush(self._front, (step.rank, lane.number, lane))

    def seek(self) -> Lane | None:
        """Find the best lane whose first step may start now."""
        lane = self.candidate
        if lane is not None and not lane.group.is_full() and lane.has_room():
            return lane
        if lane is not None:
            self._set_aside(lane)
        self.candidate = None
        while self.candidate is None and not self._is_kept_free() and len(self._aside) < LOOK_AHEAD:
            lane = self._next_lane()
            if lane is None:
                break
            if lane.group.is_full() or not lane.has_room():
                self._set_aside(lane)
            else:
                self.candidate = lane
        return self.candidate

    def start(self) -> StepState:
        """Take the candidate's first step out and give it its room."""
        lane = self.candidate
        assert lane is not None
        step = lane.first()
        assert step is not None
        lane.pop()
        lane.overtaken = 0
        if self._misfit is not None:
            self._misfit.overtaken += 1
        self.candidate = None
        self.offer(lane)
        return step

    def end_round(self) -> None:
        """List again what was looked at and did not start."""
        if self.candidate is not None:
            self.offer(self.candidate)
            self.candidate = None
        for lane in self._aside:
            self.offer(lane)
        self._aside.clear()
        self._misfit = None

    def drain(self) -> Iterator[StepState]:
        """Take everything out."""
        while (lane := self._next_lane()) is not None:
            while (step := lane.first()) is not None:
                lane.pop()
                yield step

    def _next_lane(self) -> Lane | None:
        while self._front:
            rank, _, lane = heappop(self._front)
            if lane.offered != rank:
                continue  # a better step came since, or another entry was used
            lane.offered = None
            step = lane.first()
            if step is None:
                continue
            if step.rank == rank:
                return lane
            self.offer(lane)
        return None

    def _set_aside(self, lane: Lane) -> None:
        if self._misfit is None and not lane.has_room():
            self._misfit = lane
        self._aside.append(lane)

    def _is_kept_free(self) -> bool:
        return self._misfit is not None and self._misfit.overtaken >= OVERTAKEN


class ReadyQueue:
    """All lanes, docks and limits of a run."""

    def __init__(self, limits: Limits) -> None:
        self.docks = {name: Dock(name, Pool(capacity)) for name, capacity in limits.backends.items()}
        self.groups = {name: Group(most) for name, most in limits.groups.items()}
        self.whole = Group(limits.concurrency)
        self._free = Group(None)
        self._lanes: dict[tuple[str, str | None, Demand], Lane] = {}
        #: Something changed, so that a step might start.
        self._dirty = False

    def lane_for(self, spec: StepSpec) -> Lane | None:
        """Find the lane of a step's like; None for control steps."""
        if spec.backend is None or spec.control:
            return None
        name = (spec.backend, spec.limit_group, demand_of(spec.resources))
        lane = self._lanes.get(name)
        if lane is None:
            group = self._free if spec.limit_group is None else self.groups[spec.limit_group]
            lane = Lane(self.docks[spec.backend], group, name[2], len(self._lanes))
            self._lanes[name] = lane
        return lane

    def add(self, step: StepState, lane: Lane) -> None:
        """Let a step queue."""
        lane.push(step)
        lane.dock.offer(lane)
        self._dirty = True

    def release(self, lane: Lane) -> None:
        """Give back what an attempt had taken."""
        lane.dock.pool.give_back(lane.demand)
        lane.group.used -= 1
        self.whole.used -= 1
        self._dirty = True

    def resume(self, backend: str) -> None:
        """Let a paused backend be used again."""
        dock = self.docks.get(backend)
        if dock is not None and dock.paused:
            dock.paused = False
            self._dirty = True

    def take(self) -> list[StepState]:
        """Take out, best first, every step that may start now, and give each its room."""
        starting: list[StepState] = []
        if not self._dirty:
            return starting
        self._dirty = False
        docks = [dock for dock in self.docks.values() if not dock.paused]
        while not self.whole.is_full():
            best: tuple[Rank, Dock] | None = None
            for dock in docks:
                lane = dock.seek()
                step = None if lane is None else lane.first()
                if step is not None and (best is None or step.rank < best[0]):
                    best = (step.rank, dock)
            if best is None:
                break
            starting.append(self._start(best[1]))
        for dock in docks:
            dock.end_round()
        return starting

    def _start(self, dock: Dock) -> StepState:
        step = dock.start()
        lane = step.lane
        assert lane is not None
        dock.pool.take(lane.demand)
        lane.group.used += 1
        self.whole.used += 1
        return step
