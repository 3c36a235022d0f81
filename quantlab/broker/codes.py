"""What Interactive Brokers' codes mean, and what to do about each.

Source: Interactive Brokers' list of message codes, checked against what other clients learnt about them. An
unknown code is a warning: it never ends an order by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from quantlab.broker.events import GENERAL

__all__ = ["FIRST_REQUEST_ID", "POLICIES", "Policy", "Weight", "advice_of", "policy_of", "severity_of"]

FIRST_REQUEST_ID = 100_000_000
"""First id of requests for data; order ids are below, since both share one number in error messages."""

HISTORY_SERVICE = 162
"""Code of everything that the service of historical data has to say."""


class Weight(Enum):
    """What a code does to what it is about."""

    INFO = "info"
    WARNING = "warning"
    FAIL = "fail"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a code means, and what to do."""

    weight: Weight
    advice: str = ""


def _all(weight: Weight, table: dict[int, str]) -> dict[int, Policy]:
    return {code: Policy(weight, advice) for code, advice in table.items()}


POLICIES: dict[int, Policy] = {
    **_all(
        Weight.CONNECTION,
        {
            326: "Another program uses this client id; close it, wait until TWS noticed, or give another client id.",
            502: "Start TWS or IB Gateway, and enable socket clients.",
            503: "Update TWS or IB Gateway.",
            504: "Connect first.",
            507: "The client id may be in use, or TWS is locked or closed; connect again.",
            1100: "TWS lost Interactive Brokers; orders are in an unknown state until 1101 or 1102. Send nothing.",
            1300: "TWS changed its port; connect to the new one.",
            2110: "TWS lost Interactive Brokers; it will connect again by itself. Send nothing.",
        },
    ),
    **_all(
        Weight.FAIL,
        {
            101: "All market data lines are in use; unsubscribe from something.",
            102: "The request id is in use.",
            103: "The order id is in use; look whether that order is live before sending again under the next id.",
            110: "Round the price to the contract's tick.",
            162: "",
            166: "Expired contracts reach back two years only.",
            200: "No contract fits, or several do; see 'quantlab contracts SYMBOL'.",
            201: "The text says why; nothing was filled unless an execution says so.",
            202: "Executions that were on their way may still arrive.",
            309: "Three subscriptions of market depth are all there are.",
            320: "TWS could not read the request.",
            321: "TWS refused the request; if it speaks of read-only, untick 'Read-Only API' in its settings.",
            322: "TWS could not process the request; the id may be in use.",
            354: "No subscription of market data for this; ask for delayed data, or subscribe to it.",
            420: "Too many requests for real-time data, or no permission.",
            430: "Interactive Brokers has no such fundamental data.",
            434: "An order of zero units cannot be sent.",
            10089: "This needs a subscription of market data with Interactive Brokers.",
            10168: "No subscription of market data; allow delayed data.",
            10182: "The stream broke; subscribe again.",
            10186: "No subscription of market data; allow delayed data.",
            10187: "No historical ticks.",
            10189: "No tick-by-tick data for this contract.",
            10190: "All tick-by-tick subscriptions are in use.",
            10225: "The stream was stopped; subscribe again.",
            10268: "The order carries a flag that is no longer supported.",
            10269: "The order carries a flag that is no longer supported.",
            10270: "The order carries a flag that is no longer supported.",
            10285: "The installed ibapi is too old for fractions; install a newer one, or send whole units.",
            10314: "The end time was written in a way that TWS does not read.",
            10339: "This contract takes no end time.",
        },
    ),
    **_all(
        Weight.WARNING,
        {
            100: "Too many messages a second; TWS ends the connection after the third time.",
            104: "The order is already filled; wait for its execution.",
            105: "The change was refused; the order stands as it was.",
            135: "There is no order of this id; reconcile.",
            136: "The order cannot be cancelled; reconcile.",
            161: "The order is in no state to be cancelled; wait for its status.",
            317: "Market depth begins anew.",
            399: "",
            404: "Shares are being located; the order is held.",
            1101: "Connected again, subscriptions are lost; subscribe again and reconcile.",
            2103: "Market data may be stale.",
            2105: "Historical data is out of reach for now.",
            2109: "The order fills in regular hours only.",
            2137: "The order turns a long position short, or the other way round.",
            2157: "Contract details are out of reach for now.",
            2176: "The installed ibapi is too old for fractions; sizes are cut to whole units.",
            10090: "Part of the data needs a subscription.",
            # A cancel that finds nothing is no failed order: reconciliation finds out what became of it.
            10147: "There is no such order to cancel; reconcile.",
            10148: "The order cannot be cancelled in its state; reconcile.",
            10167: "Delayed data is shown.",
            10197: "No market data while another session of this user is live.",
        },
    ),
    **_all(
        Weight.INFO,
        {
            165: "",
            366: "",
            501: "",
            1102: "Connected again, subscriptions are kept.",
            2100: "",
            2104: "",
            2106: "",
            2107: "",
            2108: "",
            2119: "",
            2158: "",
            10349: "",
        },
    ),
}
"""Policy of each code that is known."""


def policy_of(code: int) -> Policy:
    """Policy of a code; an unknown one is a warning."""
    return POLICIES.get(code, Policy(Weight.WARNING))


def advice_of(code: int) -> str:
    """Say what to do about a code, in a sentence; empty where there is nothing to do."""
    return policy_of(code).advice


def severity_of(code: int, request_id: int, text: str = "") -> str:
    """Severity of a notice.

    Parameters
    ----------
    code : int
        Interactive Brokers' code.
    request_id : int
        What it is about: a request for data, an order, or -1.
    text : str, optional
        What came with it; a query that we cancelled ourselves is no failure.

    Returns
    -------
    str
        ``"info"``, ``"warning"``, ``"request"``, ``"order"`` or ``"connection"``.
    """
    weight = policy_of(code).weight
    if code == HISTORY_SERVICE and "cancelled" in text.lower():
        return str(Weight.INFO.value)
    if weight is not Weight.FAIL:
        return str(weight.value)
    return "order" if GENERAL < request_id < FIRST_REQUEST_ID else "request"
