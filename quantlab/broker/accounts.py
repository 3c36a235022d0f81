"""Paper or real money: how accounts and ports of Interactive Brokers tell."""

from __future__ import annotations

__all__ = ["PAPER_PREFIX", "REAL_PORTS", "is_paper"]

PAPER_PREFIX = "DU"
"""Accounts of paper money begin so."""

REAL_PORTS = (7496, 4001)
"""Ports at which TWS and IB Gateway serve real-money accounts unless they are told otherwise (docs/ib-setup.md)."""


def is_paper(account: str) -> bool:
    """Whether an account is one of paper money."""
    return account.startswith(PAPER_PREFIX)
