"""Records of a run in words: frames of orders, fills and trades, with labels and symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.kernels import fill, levels, order

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from quantlab.bars import Bars
    from quantlab.kernels.records import Records

__all__ = ["PROTECTIVE", "REASONS", "fills_frame", "orders_frame", "trades_frame"]

STATUSES = {
    fill.OPEN: "open",
    fill.FILLED: "filled",
    fill.REPLACED: "replaced",
    fill.REJECTED: "rejected",
    fill.CANCELLED: "cancelled",
}
REASONS = {
    order.NO_BUYING_POWER: "not enough buying power",
    order.NO_SHORT_SALE: "short sale on a cash account",
    order.CUT_TO_FLAT: "short sale on a cash account: only the long position is closed",
    fill.DELISTED: "the asset's data ended",
    fill.RUINED: "equity fell to zero",
    fill.NOTHING_LEFT: "less than one lot at the fill price",
    fill.EXPIRED: "not filled within its time in force",
    fill.PROTECTED: "its position was closed by a protective order",
    fill.TIME_UP: "time stop",
}
PROTECTIVE = {
    fill.STOP_LOSS: "stop loss",
    fill.TAKE_PROFIT: "take profit",
    fill.TRAILING_STOP: "trailing stop",
}
KINDS = {0: "order", fill.DELISTED: "delisted", fill.RUINED: "ruin", **PROTECTIVE}
TYPES = {
    levels.MARKET: "market",
    levels.ON_OPEN: "moo",
    levels.ON_CLOSE: "moc",
    levels.LIMIT: "limit",
    levels.STOP: "stop",
    levels.STOP_LIMIT: "stop limit",
    **PROTECTIVE,
}


def _labels(rows: NDArray[np.int64], bars: Bars) -> pd.DatetimeIndex:
    """Labels of bar numbers; NaT for -1."""
    import pandas as pd

    labels = bars.index.asi8[np.maximum(rows, 0)]
    stamps = np.where(rows >= 0, labels, pd.NaT.value).view("M8[ns]")
    return pd.DatetimeIndex(stamps, tz=None if bars.index.tz is None else "UTC")


def _symbols(assets: NDArray[np.int64], bars: Bars) -> NDArray[Any]:
    return np.array(bars.symbols, dtype=object)[assets]


def orders_frame(rows: Records, bars: Bars) -> pd.DataFrame:
    """Frame of orders, layout `quantlab.kernels.records.ORDER`, in the order in which they came to be.

    A protective order is there from its fill on, with the bar that decided its entry.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "time": _labels(rows["bar"], bars),
            "symbol": _symbols(rows["asset"], bars),
            **{n: rows[n] for n in ("target", "quantity", "decision_price")},
            "status": [STATUSES[k] for k in rows["status"].tolist()],
            "reason": [REASONS.get(k, "") for k in rows["reason"].tolist()],
            "fill_time": _labels(rows["fill_bar"], bars),
            "fill_price": rows["fill_price"],
            "type": [TYPES[k] for k in rows["type"].tolist()],
            **{n: rows[n] for n in ("limit", "stop", "residue")},
        }
    )


def fills_frame(rows: Records, bars: Bars) -> pd.DataFrame:
    """Frame of fills, layout `quantlab.kernels.records.FILL`."""
    import pandas as pd

    numbers = (
        "quantity", "price", "reference", "commission", "fees", "slippage", "spread", "order", "cash",
    )  # fmt: skip
    return pd.DataFrame(
        {
            "time": _labels(rows["bar"], bars),
            "symbol": _symbols(rows["asset"], bars),
            **{n: rows[n] for n in numbers},
            "kind": [KINDS[k] for k in rows["kind"].tolist()],
            "doubtful": rows["doubtful"] == 1,
        }
    )


def trades_frame(rows: Records, bars: Bars) -> pd.DataFrame:
    """Frame of trades, layout `quantlab.kernels.records.TRADE`; those still open come last."""
    import pandas as pd

    numbers = ("quantity", "entry_price", "exit_price", "pnl", "return_")
    return pd.DataFrame(
        {
            "symbol": _symbols(rows["asset"], bars),
            "entry_time": _labels(rows["entry_bar"], bars),
            "exit_time": _labels(rows["exit_bar"], bars),
            **{n: rows[n] for n in numbers},
            "bars_held": rows["exit_bar"] - rows["entry_bar"],
            "commission": rows["commission"],
            "fees": rows["fees"],
            "open": rows["open"] == 1,
            "exit": [
                "" if o else KINDS[k]
                for o, k in zip(rows["open"].tolist(), rows["exit"].tolist(), strict=True)
            ],
        }
    )
