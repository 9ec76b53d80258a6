"""Classes and helpers of another module than the steps'."""

from dataclasses import dataclass
from enum import Enum

SCALE = 2.5


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Settings:
    name: str
    colour: Colour
    weights: dict[str, object]


def scaled(number):
    return number * SCALE
