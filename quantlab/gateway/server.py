"""The gateway on a socket: loopback only, in a thread of its own with a loop of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any, Self, TypeVar

from quantlab.costs import Costs
from quantlab.errors import GatewayError
from quantlab.gateway.clock import Pace, checked_speed, opening_moment
from quantlab.gateway.matching import QUOTES
from quantlab.gateway.session import Session
from quantlab.gateway.settings import (
    Settings,
    day_of,
    fill_size,
    last_close,
    loopback,
    not_negative,
    paper_account,
)
from quantlab.gateway.state import StateFile
from quantlab.gateway.venue import Venue
from quantlab.model import Position
from quantlab.wire.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from quantlab.gateway.faults import Faults
    from quantlab.gateway.market import Market
    from quantlab.gateway.orders import Execution, OrderView

__all__ = ["Gateway"]

ABRUPTLY = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER of no time: closing resets the connection."""

T = TypeVar("T")


class Gateway:
    """A simulated TWS for paper trading against prices that are known.

    It listens from `start` to `stop`, or within a ``with`` block. Every method may be called from any thread.

    Parameters
    ----------
    market : Market
        Prices that are served.
    port : int
        Port to listen on; 0 takes any free one, see `port`.
    host : str
        A loopback address.
    account : str
        Number of the account, which begins with DU as those of paper accounts do.
    cash : float
        Money it starts with.
    fills : {"quotes", "bars"}
        Against bid and ask after a delay, or by the engine's rule at the opens of bars.
    bar_size : str, optional
        With ``fills="bars"``: bars whose next open fills; the market's own by default.
    costs : Costs, optional
        Commission and fees; with ``fills="bars"`` also slippage and spread. ``Costs.default()`` by default.
    speed : float or str
        1 or 60 and the like: simulated seconds a second, over hours without trading it leaps. ``"max"``: time moves
        when the client that drives asks for it. ``"step"``: time moves by `advance`.
    start, end : str or date, optional
        First and last day. By default the first session of the last year, and the last of all.
    state : path, optional
        File in which orders, executions, money and time are kept, and from which they are restored.
    ceiling : int
        Newest version of the protocol that is spoken.
    spread_bps, latency_s : float
        Of the quotes: spread in hundredths of a percent, and simulated seconds until an order meets them.
    seed : int
        Of the synthetic paths.
    read_only : bool
        Refuse orders, as TWS does with its API read-only.

    Raises
    ------
    GatewayError
        For a host that is not loopback, an account that is no paper account, a day without prices, or a number that
        makes no sense.
    """

    def __init__(
        self,
        market: Market,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        account: str = "DU1234567",
        cash: float = 1_000_000.0,
        fills: str = QUOTES,
        bar_size: str | None = None,
        costs: Costs | None = None,
        speed: float | str = 1.0,
        start: Any = None,
        end: Any = None,
        state: Path | str | None = None,
        ceiling: int = 178,
        spread_bps: float = 2.0,
        latency_s: float = 0.25,
        seed: int = 0,
        read_only: bool = False,
    ) -> None:
        self._host, self._wanted_port = loopback(host), port
        self._ceiling = Connection("server", ceiling).ceiling
        self._state_path = state
        self._state: StateFile | None = None
        self.market = market.with_seed(seed)
        settings = Settings(
            account=paper_account(account),
            cash=not_negative("cash", cash),
            fills=fills,
            fill_size=fill_size(self.market, fills, bar_size),
            costs=costs or Costs.default(),
            speed=checked_speed(speed),
            spread_bps=not_negative("spread_bps", spread_bps, below=20_000.0),
            latency_s=not_negative("latency_s", latency_s),
            end_ns=None if end is None else last_close(self.market, end),
            read_only=read_only,
        )
        first = None if start is None else day_of("start", start)
        self._venue = Venue(self.market, settings, opening_moment(self.market.hours, settings.speed, first))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._lines: set[_Line] = set()
        self._pace: Pace | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._mute = False

    # -- running ---------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; return when clients can connect.

        Raises
        ------
        GatewayError
            For a port that is in use, or a state that cannot be continued.
        """
        if self._thread is not None:
            raise GatewayError("the gateway has been started already; make a new one to start again.")
        if self._state_path is not None:
            self._state = StateFile(self._state_path)
            try:
                self._state.restore(self._venue)
                self._state.save(self._venue)
            except BaseException:
                self._state.close()
                raise
        self._loop = asyncio.new_event_loop()
        try:
            make = self._loop.create_server(lambda: _Line(self), self._host, self._wanted_port)
            self._server = self._loop.run_until_complete(make)
        except OSError as error:
            self._loop.close()
            if self._state is not None:
                self._state.close()
            raise GatewayError(
                f"port {self._wanted_port} of {self._host} cannot be used ({error.strerror or error}); another "
                "gateway or TWS may listen there. Choose another port, or 0 for any free one."
            ) from error
        if self._venue.clock.runs:
            self._pace = Pace(
                self.market.hours, float(self._venue.clock.speed), self._venue.clock.now_ns, self._loop.time()
            )
        self._thread = threading.Thread(target=self._run, name="quantlab-gateway", daemon=True)
        self._thread.start()
        self._call(self._arm)
        return self

    def _run(self) -> None:
        loop = self._loop
        if loop is None:
            return
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            if self._server is not None:
                self._server.close()
            for line in list(self._lines):
                line.cut()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            if self._state is not None:
                self._state.close()

    def stop(self) -> None:
        """Close every connection and listen no more; what is in the state file stays there."""
        if self._thread is None or self._loop is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, function: Callable[[], T]) -> T:
        """Run a function in the gateway's thread; here, when it does not run."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None or not thread.is_alive() or thread is threading.current_thread():
            return function()
        done = threading.Event()
        result: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                result.append(function())
            except BaseException as error:  # noqa: BLE001  # handed to the caller's thread
                failed.append(error)
            finally:
                done.set()

        loop.call_soon_threadsafe(run)
        while not done.wait(0.1):
            if not thread.is_alive():
                return function()
        if failed:
            raise failed[0]
        return result[0]

    # -- looking ---------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Port that it listens on; 0 before it does."""
        if self._server is None or not self._server.sockets:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def address(self) -> str:
        """Where to connect: ``host:port``."""
        return f"{self._host}:{self.port}"

    @property
    def account(self) -> str:
        """Number of the account."""
        return self._venue.account.name

    @property
    def now_ns(self) -> int:
        """Simulated time, ns UTC."""
        return self._call(lambda: self._venue.clock.now_ns)

    @property
    def cash(self) -> float:
        """Cash of the account."""
        return self._call(lambda: self._venue.account.cash)

    @property
    def equity(self) -> float:
        """Cash and positions at the prices of now."""
        return self._call(lambda: self._venue.account.equity(self._venue.desk.price))

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self._venue.faults

    def orders(self) -> tuple[OrderView, ...]:
        """Every order, oldest first."""
        symbols = self.market.symbols
        return self._call(lambda: tuple(o.view(symbols[o.column]) for o in self._venue.desk.orders.values()))

    def executions(self) -> tuple[Execution, ...]:
        """Every execution, oldest first."""
        return self._call(lambda: tuple(self._venue.desk.executions))

    def positions(self) -> tuple[Position, ...]:
        """Everything held, in column order, at the prices of now."""
        account, price, symbols = self._venue.account, self._venue.desk.price, self.market.symbols

        def read() -> tuple[Position, ...]:
            return tuple(
                Position(symbols[i], h.quantity, price(i), account.worth(i, h.quantity, price(i)))
                for i, h in account.held()
                if h.quantity != 0.0
            )

        return self._call(read)

    @property
    def notices(self) -> tuple[str, ...]:
        """Unknown messages, broken connections, defects: what whoever runs the gateway should know."""
        return self._call(lambda: tuple(self._venue.notices))

    @property
    def clients(self) -> tuple[int, ...]:
        """Ids of the clients that are connected."""
        return self._call(lambda: tuple(sorted(self._venue.clients)))

    # -- doing -----------------------------------------------------------------------------------------

    def advance(self) -> bool:
        """Move time to the next event; False when there is none."""

        def move() -> bool:
            moved = self._venue.advance()
            self._after()
            return moved

        return self._call(move)

    def drop_connections(self) -> None:
        """Close every client's socket abruptly."""

        def drop() -> None:
            for line in list(self._lines):
                line.cut()

        self._call(drop)

    def mute(self, on: bool = True) -> None:
        """Accept and read, and act upon nothing; until it is switched off again."""

        def switch() -> None:
            self._mute = on

        self._call(switch)

    # -- in the thread ---------------------------------------------------------------------------------

    def _hear(self, line: _Line, data: bytes) -> None:
        if self._mute:
            return
        self._catch_up()
        line.session.receive(data)
        self._after()

    def _gone(self, line: _Line) -> None:
        self._lines.discard(line)
        self._venue.leave(line.session)
        self._after()

    def _catch_up(self) -> None:
        if self._pace is not None and self._loop is not None:
            self._venue.catch_up(self._pace.time_at(self._loop.time()))

    def _after(self) -> None:
        """Write the state, then what clients are to hear; then wait for what comes next."""
        if self._state is not None:
            self._state.save(self._venue)
        for line in list(self._lines):
            line.flush()
        self._arm()

    def _arm(self) -> None:
        """Wake up when the next thing happens, where time runs by itself."""
        if self._pace is None or self._loop is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        moment = self._venue.next()
        self._timer = None
        if moment is not None:
            self._timer = self._loop.call_at(self._pace.wall_of(moment.time_ns), self._wake)

    def _wake(self) -> None:
        self._catch_up()
        self._after()


class _Line(asyncio.Protocol):
    """The socket of one client."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._transport: asyncio.Transport | None = None
        self.session = Session(gateway._venue, gateway._ceiling)  # noqa: SLF001  # its other half

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        if not isinstance(transport, asyncio.Transport):
            return
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._gateway._lines.add(self)  # noqa: SLF001
        self._gateway._venue.join(self.session)  # noqa: SLF001

    def data_received(self, data: bytes) -> None:
        """Hear what a client says."""
        self._gateway._hear(self, data)  # noqa: SLF001

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Forget a client; asyncio has handed over everything that came before the end."""
        self.session.closing = True
        self._transport = None
        self._gateway._gone(self)  # noqa: SLF001

    def flush(self) -> None:
        """Write what there is to say; then hang up, if the session has ended."""
        if self._transport is None:
            return
        data = self.session.take_output()
        if data:
            self._transport.write(data)
        if self.session.closing:
            self._transport.close()

    def cut(self) -> None:
        """Close the socket abruptly."""
        if self._transport is None:
            return
        self.session.closing = True
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
        self._transport.abort()
