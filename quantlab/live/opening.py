"""What has to be right before a run may trade: one account, of paper money, and contracts as they were promoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quantlab.broker.accounts import PAPER_PREFIX, is_paper
from quantlab.broker.contracts import contract_of, find_contract, instrument_of
from quantlab.errors import LiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from quantlab.broker.client import Client
    from quantlab.broker.contracts import ContractId
    from quantlab.model import Instrument

__all__ = ["choose_account", "find_contracts"]


def choose_account(known: str | None, accounts: Sequence[str]) -> str:
    """Account to trade: the one that was traded before, else the only one there is; paper money only.

    Parameters
    ----------
    known : str or None
        Account of the journal.
    accounts : sequence of str
        Accounts of the connection.

    Raises
    ------
    LiveError
        For a real-money account, for several accounts, and where the known one is not among them.
    """
    if known is None:
        if len(accounts) != 1:
            raise LiveError(
                f"the connection has {len(accounts)} accounts ({', '.join(accounts)}); a bundle trades one. Log in "
                "with a single paper account."
            )
        known = accounts[0]
    if known not in accounts:
        there = ", ".join(accounts) or "no account"
        raise LiveError(f"this bundle trades {known}, and the connection has {there}; log in there.")
    if not is_paper(known):
        raise LiveError(
            f"{known} is a real-money account (paper accounts begin with {PAPER_PREFIX}); 'quantlab paper' trades "
            "paper money only. Log in to the paper account, port 7497 (TWS) or 4002 (IB Gateway)."
        )
    return known


def find_contracts(client: Client, instruments: Iterable[Instrument]) -> dict[str, ContractId]:
    """Contract of every instrument, looked up and compared with what was promoted.

    Raises
    ------
    ContractError
        If the broker knows none, or several.
    LiveError
        If the broker's contract has another multiplier, currency or lot than the bundle's instrument.
    """
    found = {}
    for ours in instruments:
        details = find_contract(client, ours.symbol, ours.security_type, ours.exchange, ours.currency)
        theirs = instrument_of(details)
        for name in ("multiplier", "currency", "lot"):
            if getattr(ours, name) != getattr(theirs, name):
                raise LiveError(
                    f"{name} of {ours.symbol} is {getattr(theirs, name)!r} at the broker and {getattr(ours, name)!r} "
                    "in the bundle; fetch the data again and promote again."
                )
        found[ours.symbol] = contract_of(ours, details.contract.con_id)
    return found
