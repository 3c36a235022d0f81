"""Strategies that look ahead on purpose, each with the first bar at which it does, as worked out by hand.

``CHEATS`` holds functions of bars; ``first_bar(bars)`` and ``symbols(bars)`` say what a test must name.
"""

from __future__ import annotations

from cheats.fits import FITS
from cheats.hidden import HIDDEN
from cheats.leaks import LEAKS
from cheats.peeks import PEEKS

CHEATS = {cheat.__name__: cheat for cheat in (*PEEKS, *FITS, *LEAKS, *HIDDEN)}
