"""``python -m headwater.cli``."""

import sys

from headwater.cli import main

sys.exit(main())
