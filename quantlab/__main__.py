"""``python -m quantlab`` is the command ``quantlab``."""

from __future__ import annotations

import sys

from quantlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
