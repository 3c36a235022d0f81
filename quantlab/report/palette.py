"""Colours by role, light and dark, told apart by readers with any colour vision (blue against vermilion)."""

from __future__ import annotations

__all__ = ["FONT", "PALETTE", "dark_of", "light"]

PALETTE = {
    "page": ("#f7f7f5", "#101216"),
    "surface": ("#ffffff", "#181b20"),
    "ink": ("#16191d", "#eceef1"),
    "muted": ("#5c636e", "#9aa3af"),
    "rule": ("#e3e4e1", "#2b3038"),
    "grid": ("#ecedea", "#262a31"),
    "gain": ("#0067a5", "#5ab4ee"),
    "gain_soft": ("#cfe3f1", "#17374d"),
    "gain_mid": ("#86bbdd", "#215f89"),
    "loss": ("#c8500a", "#ff9052"),
    "loss_soft": ("#fae0d0", "#4d2a17"),
    "loss_mid": ("#f2a878", "#8f4719"),
    "benchmark": ("#8a8f98", "#7f8894"),
    "exposure": ("#5f6b7a", "#93a1b3"),
    "exposure_soft": ("#e6e9ed", "#262d36"),
    "price": ("#4a515b", "#b4bcc7"),
    "bar_up": ("#fefefe", "#191c21"),
    "bar_down": ("#6d747e", "#8e97a3"),
    "warn": ("#8a5a00", "#ffcf70"),
    "warn_soft": ("#fff6df", "#2e2614"),
}
"""Role -> (light, dark). Light colours are distinct, so that a figure in them can be turned dark by name."""

FONT = (
    "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Ubuntu, "
    "Cantarell, 'Liberation Sans', Arial, system-ui, sans-serif"
)
"""Fonts that readers already have: a report asks nothing of the network."""


def light(role: str) -> str:
    """Light colour of a role; the page turns it into the dark one where the reader prefers that."""
    return PALETTE[role][0]


def dark_of() -> dict[str, str]:
    """Light colour -> dark colour."""
    return dict(PALETTE.values())
