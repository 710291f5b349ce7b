"""`python -m nearfar`, the same as the command `nearfar`."""

from __future__ import annotations

import sys

from nearfar.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
