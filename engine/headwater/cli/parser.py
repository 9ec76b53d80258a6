"""Words that make no command line are an error like any other: a sentence, and what to do."""

from __future__ import annotations

import argparse
from typing import NoReturn

from headwater.errors import RequestError


class Parser(argparse.ArgumentParser):
    """A parser that raises RequestError instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the words."""
        raise RequestError(f"{self.prog}: {message}", hint=f"{self.prog} --help")
