"""What stands between this machine and Interactive Brokers: the official client, the port, the API, the account.

Nothing here places an order, changes one or cancels one: the client is made without the right to.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from quantlab.barsize import SECOND_NS
from quantlab.broker import events as ev
from quantlab.broker.accounts import PAPER_PREFIX, REAL_PORTS
from quantlab.broker.bridge import OLDEST, load_bridge
from quantlab.broker.client import Client
from quantlab.broker.clock import SystemClock
from quantlab.broker.line import CEILING
from quantlab.broker.link import PORTS, open_link
from quantlab.broker.times import time_of_text
from quantlab.errors import BrokerError, MissingExtraError, NotConnectedError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from quantlab.broker.bridge import Bridge
    from quantlab.broker.clock import Clock

__all__ = [
    "LOOKED_AT",
    "NOT_CHECKED",
    "OK",
    "PROBLEM",
    "WARNING",
    "Check",
    "check_gateway",
    "check_ibapi",
    "providers_of_ibapi",
]

OK, WARNING, PROBLEM, NOT_CHECKED = "ok", "warning", "problem", "not checked"

FRACTIONS = 163
"""Protocol version from which on sizes may be fractions."""

ENABLE = (
    "in TWS tick 'Enable ActiveX and Socket Clients' under File > Global Configuration > API > Settings; in IB "
    "Gateway look at Configure > Settings > API > Settings"
)

SIMULATED = "quantlab gateway"
"""Command that serves sample prices where there is no TWS."""

CONNECT_S = 2.0
"""How long a place may take to accept a connection."""

READ_ONLY = 321
"""Code of a request that is refused; the text says whether because the API is read-only."""

SPARE = 900
"""Added to a client id that is in use, for the questions that remain."""

NEAR_S, FAR_S, DAY_S = 2.0, 60.0, 86_400.0
"""Clocks that differ by less are the same; by more, bars would be taken for late; by more, time is simulated."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
        What was looked at.
    state : str
        `OK`, `WARNING` (works, but know this), `PROBLEM` or `NOT_CHECKED`.
    said : str
        What was found.
    advice : str
        What to do; empty where there is nothing to do.
    """

    what: str
    state: str
    said: str
    advice: str = ""


# -- the official client -----------------------------------------------------------------------------------


def providers_of_ibapi(installed: Iterable[metadata.Distribution] | None = None) -> dict[str, str]:
    """Distributions that brought the module ``ibapi``, with their versions.

    Parameters
    ----------
    installed : iterable of Distribution, optional
        Where to look; every distribution of this Python, if not given.
    """
    found: dict[str, str] = {}
    for each in metadata.distributions() if installed is None else installed:
        top = (each.read_text("top_level.txt") or "").split()
        # The record is searched as text: taken apart, those of all packages take half a second.
        record = each.read_text("RECORD") or each.read_text("installed-files.txt") or ""
        if "ibapi" in top or any(
            line.lstrip("./").startswith("ibapi/__init__.py") for line in record.splitlines()
        ):
            found[each.metadata["Name"]] = each.version
    return found


def check_ibapi(
    *, required: bool, providers: dict[str, str] | None = None
) -> tuple[tuple[Check, ...], Bridge | None]:
    """Look at the official client that is installed.

    Parameters
    ----------
    required : bool
        Whether its absence is a problem, or merely worth knowing.
    providers : dict, optional
        What `providers_of_ibapi` gives; looked up, if not given.

    Returns
    -------
    tuple of (tuple of Check, Bridge or None)
        What was found, and the client where it can be used.
    """
    found = providers_of_ibapi() if providers is None else providers
    first = _check_providers(found)
    try:
        bridge = load_bridge()
    except MissingExtraError:
        said = "not installed; backtests need none, Interactive Brokers does"
        advice = "Run: pip install 'quantlab[ib]'"
        return (Check("ibapi", PROBLEM if required else WARNING, said, advice),), None
    except BrokerError as error:
        advice = "Run: pip install 'protobuf>=5.29.5'" if _lacks_protobuf(error) else ""
        return (*first, Check("ibapi", PROBLEM, str(error), advice)), None
    except Exception as error:  # noqa: BLE001  # protobuf raises errors of its own where its version does not fit
        said = f"loading it failed: {type(error).__name__}: {error}"
        advice = (
            "Install it and its protobuf anew: pip install --force-reinstall ibapi-stable 'protobuf>=5.29.5'"
        )
        return (*first, Check("ibapi", PROBLEM, said, advice)), None
    return (*first, _check_release(bridge)), bridge


def _lacks_protobuf(error: BrokerError) -> bool:
    name = getattr(error.__cause__, "name", None) or ""
    return name.split(".")[0] == "google"


def _check_providers(found: dict[str, str]) -> tuple[Check, ...]:
    """Say which distribution brought the client; several are a problem, since they overwrite each other."""
    names = ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
    if len(found) > 1:
        said = f"{len(found)} packages wrote their files into one folder ibapi: {names}"
        advice = f"Run: pip uninstall -y {' '.join(sorted(found))}, and then: pip install ibapi-stable"
        return (Check("package of ibapi", PROBLEM, said, advice),)
    if found:
        return (Check("package of ibapi", OK, names),)
    return ()


def _check_release(bridge: Bridge) -> Check:
    spoken = f"{bridge.version}, protocol up to {bridge.max_version}"
    if bridge.max_version > CEILING:
        spoken += f" ({CEILING} is offered: what is tested)"
    if bridge.max_version >= FRACTIONS:
        return Check("ibapi", OK, spoken)
    said = (
        f"{spoken}: a release of 2020. It works here, but volumes and sizes are cut to whole units (2176), orders of "
        "fractions are refused (10285), the reasons of rejections come without details, and in bare scripts orders "
        "are refused (10268, 10269) and a volume with a fraction ends run()"
    )
    return Check("ibapi", WARNING, said, "In a new environment, run: pip install 'quantlab[ib]'")


# -- the gateway -------------------------------------------------------------------------------------------

LOOKED_AT = ("gateway", "API", "clock", "client id", "account", "read-only")
"""What `check_gateway` looks at, in order."""


def _rest(after: str, why: str) -> list[Check]:
    return [Check(what, NOT_CHECKED, why) for what in LOOKED_AT[LOOKED_AT.index(after) + 1 :]]


def check_gateway(
    places: Sequence[tuple[str, int]],
    *,
    named: bool,
    client_id: int = 1,
    with_client: bool = True,
    clock: Clock | None = None,
    timeout_s: float = 5.0,
) -> Iterator[Check]:
    """Look for TWS or IB Gateway and at what it says, as far as can be seen without sending an order.

    Parameters
    ----------
    places : sequence of (str, int)
        Hosts and ports; the first where somebody listens is looked at.
    named : bool
        Whether somebody said that it is there; then its absence is a problem.
    client_id : int
        Who we are.
    with_client : bool
        Whether the official client can be used; without it only the first words are exchanged.
    clock : Clock, optional
        The clock of this machine.
    timeout_s : float
        How long each answer may take.

    Yields
    ------
    Check
        One for each of `LOOKED_AT`, in that order.
    """
    listening = [place for place in places if _listens(*place, min(timeout_s, CONNECT_S))]
    if not listening:
        shown = " or ".join(f"{host}:{port}" for host, port in places)
        advice = f"Start TWS or IB Gateway, log in, and enable the API: {ENABLE}. {PORTS}. Without either: {SIMULATED}"
        yield Check("gateway", PROBLEM if named else WARNING, f"nobody listens on {shown}", advice)
        yield from _rest("gateway", "nobody listens")
        return
    yield _check_place(*listening)
    yield from _check_first_words(listening[0], client_id, with_client, clock or SystemClock(), timeout_s)


def _check_place(first: tuple[str, int], *others: tuple[str, int]) -> Check:
    said = f"{first[0]}:{first[1]} accepts connections"
    if others:
        said += f"; so does {' and '.join(f'{h}:{p}' for h, p in others)}, which --gateway looks at"
    if first[1] in REAL_PORTS:
        advice = "Paper accounts are at 7497 (TWS) and 4002 (IB Gateway), unless you changed the port."
        return Check("gateway", WARNING, f"{said}; this is the usual port of real money", advice)
    return Check("gateway", OK, said)


def _listens(host: str, port: int, timeout_s: float) -> bool:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except (OSError, UnicodeError, OverflowError):
        return False
    return True


def _check_first_words(
    place: tuple[str, int], client_id: int, with_client: bool, here: Clock, timeout_s: float
) -> Iterator[Check]:
    """See whether the API answers, what time it tells, and then what a connection tells."""
    before = here.now_ns()
    try:
        link, version, text = open_link(*place, (OLDEST, CEILING), time.monotonic() + timeout_s)
        link.leave()
    except NotConnectedError as error:
        # Its advice is part of what it says.
        yield Check("API", PROBLEM, str(error))
        yield from _rest("API", "the API does not answer")
        return
    after = here.now_ns()
    yield Check("API", OK, f"answers, protocol version {version}")
    told = time_of_text(text)
    if told is not None:
        yield _check_clock(told, before, after)
    if not with_client:
        if told is None:
            yield _unclear_clock(text)
        yield from _rest("clock", "needs ibapi")
        return
    yield from _check_greeting(place, client_id, text if told is None else None, here, timeout_s)


def _check_greeting(
    place: tuple[str, int], client_id: int, unclear: str | None, here: Clock, timeout_s: float
) -> Iterator[Check]:
    """Connect as a run would, and look at what a connection tells.

    Parameters
    ----------
    place, client_id, here, timeout_s
        Where, who we are, our clock, and how long each answer may take.
    unclear : str or None
        The time that was told and that names no instant; the clock is then asked for.
    """
    try:
        client, about_id = _connected(place, client_id, here, timeout_s)
    except BrokerError as error:
        if unclear is not None:
            yield _unclear_clock(unclear)
        yield Check("client id", PROBLEM, str(error))
        yield from _rest("client id", "no connection")
        return
    with client:
        if unclear is not None:
            yield _ask_clock(client, unclear, here, timeout_s)
        yield about_id
        yield _check_accounts(client.accounts)
        yield _check_read_only(client, timeout_s)


def _connected(place: tuple[str, int], client_id: int, here: Clock, timeout_s: float) -> tuple[Client, Check]:
    """Connect, under another id if this one is in use."""
    client = Client(*place, client_id, clock=here)
    try:
        client.connect(timeout_s)
    except NotConnectedError as error:
        if "turned client id" not in str(error):
            raise
        client = Client(*place, client_id + SPARE, clock=here)
        client.connect(timeout_s)
        said = f"{client_id} is in use, perhaps by a run of yours; the rest was asked as {client_id + SPARE}"
        return client, Check(
            "client id", WARNING, said, "End that program, or give the next one --client-id."
        )
    return client, Check("client id", OK, f"{client_id} is free")


def _check_accounts(accounts: tuple[str, ...]) -> Check:
    names = ", ".join(accounts) or "none was told"
    if accounts and all(name.startswith(PAPER_PREFIX) for name in accounts):
        return Check("account", OK, f"{names}, paper money")
    said = f"{names}: not paper money ({PAPER_PREFIX}…)" if accounts else names
    advice = "'quantlab paper' refuses it. Log in with the paper user, or choose paper trading at the login."
    return Check("account", WARNING, said, advice)


def _check_read_only(client: Client, timeout_s: float) -> Check:
    """Say whether the API is read-only, as far as a question tells.

    A read-only API refuses the question for open orders too (ib_insync issues 1 and 7, bankroll issue 65), with
    code 321. That it is answered does not prove that an order would be taken; only an order would.
    """
    try:
        client.open_orders(everyone=False, timeout_s=timeout_s)
    except BrokerError as error:
        refused = isinstance(error, RequestError) and error.code == READ_ONLY
        if refused or any(n.code == READ_ONLY for n in _notices(client)):
            said = "the API is read-only: the question for open orders was refused (321)"
            advice = "To trade, untick 'Read-Only API' in the API settings; to look only, leave it ticked."
            return Check("read-only", WARNING, said, advice)
        return Check("read-only", NOT_CHECKED, f"the question for open orders was not answered: {error}")
    said = (
        "no sign of it: the question for open orders was answered, which others saw a read-only API refuse; whether "
        "an order would be taken, only an order could show, and none is sent"
    )
    return Check("read-only", NOT_CHECKED, said)


def _notices(client: Client) -> Iterator[ev.Notice]:
    while (event := client.next(0.0)) is not None:
        if isinstance(event, ev.Notice):
            yield event


# -- the clock ---------------------------------------------------------------------------------------------


def _check_clock(told_ns: int, before_ns: int, after_ns: int) -> Check:
    """Compare a time that was told, in whole seconds, with ours around it.

    Parameters
    ----------
    told_ns : int
        ns UTC; the true time is less than a second later.
    before_ns, after_ns : int
        Our time before it was asked for, and after it came.
    """
    ahead = told_ns - after_ns  # at least so much is the other clock ahead
    behind = before_ns - told_ns - SECOND_NS
    seconds = max(ahead, behind, 0) / SECOND_NS
    if seconds <= NEAR_S:
        return Check("clock", OK, "agrees with this machine's, as far as whole seconds show")
    said = f"{_duration(seconds)} {'ahead of' if ahead > 0 else 'behind'} this machine's"
    if seconds > DAY_S:
        advice = "A simulated gateway has a time of its own. If this is TWS, set this machine's clock."
        return Check("clock", WARNING, said, advice)
    advice = "Let this machine set its clock from the network (NTP), and check its time zone."
    return Check("clock", PROBLEM if seconds > FAR_S else WARNING, said, advice)


def _duration(seconds: float) -> str:
    for unit, length in (("days", DAY_S), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _unclear_clock(text: str) -> Check:
    return Check("clock", NOT_CHECKED, f"{text!r} was told, and its zone is not clear")


def _ask_clock(client: Client, text: str, here: Clock, timeout_s: float) -> Check:
    before = here.now_ns()
    with suppress(BrokerError):
        told = client.current_time(timeout_s)
        return _check_clock(told, before, here.now_ns())
    return _unclear_clock(text)
