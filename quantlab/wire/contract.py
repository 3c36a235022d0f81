"""What a message is about: the contract, as the protocol names it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Contract"]


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract, in full or as far as a request names it.

    A message carries some of these fields only: an answer about an execution has no ``primary_exchange``,
    for one. What a message does not carry has its default here when it arrives.

    Parameters
    ----------
    con_id : int
        Interactive Brokers' number of the contract; 0 when unknown.
    symbol, security_type : str
        Ticker, and ``"STK"``, ``"CASH"``, ``"FUT"`` ... ``"BAG"`` (a combination) is refused.
    last_trade_date : str
        ``"yyyymmdd"`` or ``"yyyymm"`` for what expires, else empty.
    strike : float
        0.0 for what has none.
    right, multiplier : str
        As in the protocol; the multiplier of a stock is empty.
    exchange, primary_exchange, currency : str
        Where it is routed to, where it is listed, and its currency.
    local_symbol, trading_class : str
        The exchange's own names.
    include_expired : bool
        In requests for contracts, history and ticks: also what has expired.
    sec_id_type, sec_id : str
        Another identifier, such as ``"ISIN"`` and its value.
    issuer_id : str
        Of bonds; carried from version 176.
    """

    con_id: int = 0
    symbol: str = ""
    security_type: str = ""
    last_trade_date: str = ""
    strike: float = 0.0
    right: str = ""
    multiplier: str = ""
    exchange: str = ""
    primary_exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""
    include_expired: bool = False
    sec_id_type: str = ""
    sec_id: str = ""
    issuer_id: str = ""
