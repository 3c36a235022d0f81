"""The report as one HTML file, complete in itself: no request leaves it, no text from outside runs in it."""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING, Any

from quantlab.report import figures, frame, trades
from quantlab.report.diagnostics import diagnostics
from quantlab.report.frame import number, section, word
from quantlab.report.palette import dark_of
from quantlab.report.record import data_to_json, script_element
from quantlab.report.script import SCRIPT
from quantlab.report.statistics import COST_KEYS, GROUPS, STATISTICS, format_money, format_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quantlab.report.content import ReportContent
    from quantlab.report.figures import Drawing

__all__ = ["describe", "render"]

MAX_LISTED = 200
"""Most trades in the page's table: the last ones; the data behind the page has more."""


def describe(content: ReportContent) -> str:
    """Describe in one line what was run: parameters, assets, period, bars, bars a year."""
    params: Any = content.settings.get("params", {})
    given = ", ".join(f"{k}={word(v)}" for k, v in dict(params).items())
    symbols = list(content.prices)
    named = ", ".join(symbols[:4]) + (f" and {len(symbols) - 4:,} more" if len(symbols) > 4 else "")
    index: Any = content.equity.index
    first, last = (f"{t.day} {t:%b %Y}" for t in (index[0], index[-1]))
    period = first if first == last else f"{first} to {last}"
    parts = [given, named, period, f"{content.n_bars:,} bar{'s' * (content.n_bars != 1)}"]
    return " · ".join([*filter(None, parts), f"{content.bars_per_year:,.6g} bars a year"])


def render(content: ReportContent) -> str:
    """Report of one run as the text of an HTML file.

    Parameters
    ----------
    content : ReportContent
        What to show. Equal content gives equal text.

    Returns
    -------
    str
        A complete page. Text from outside is escaped everywhere; a content security policy forbids every
        request and every script but the two that are written here. `quantlab.report.record.read_result` reads
        its numbers back.

    Raises
    ------
    DataError
        For settings that JSON cannot carry.
    """
    # First, since it refuses settings that are not plain data.
    carried = script_element(data_to_json(content), "quantlab-result")
    drawings = _drawings(content)
    charts = _Charts(drawings)
    body = "\n".join(
        [
            frame.header("backtest", content.title, content.subtitle or describe(content)),
            frame.notes(content.notes),
            _headline(content),
            diagnostics(content.diagnostics),
            _equity(content, charts),
            _prices(content, charts),
            section("Monthly returns", charts.figure("monthly", wide=True)),
            '<div class="pair">',
            section("Distribution of returns", charts.figure("distribution")),
            section("Where the costs went", charts.figure("costs")),
            "</div>",
            _statistics(content),
            _costs(content),
            frame.run(content.settings, content.fingerprint),
        ]
    )
    return frame.Document(
        title=f"{content.title} – backtest",
        main=body,
        footer=_footer(),
        figures=charts.data(),
        script=SCRIPT,
        head=carried,
    ).html()


# -- figures -------------------------------------------------------------------------------------------


def _drawings(content: ReportContent) -> dict[str, list[Drawing]]:
    single = {
        "equity": figures.equity,
        "drawdown": figures.drawdown,
        "exposure": figures.exposure,
        "monthly": figures.monthly,
        "distribution": figures.distribution,
        "costs": figures.costs,
    }
    drawings = {name: [make(content)] for name, make in single.items()}
    drawings["prices"] = [trades.price(content, symbol) for symbol in trades.asset_order(content)]
    return drawings


class _Charts:
    """Drawings as elements of the page, and as the data that the page's script draws."""

    def __init__(self, drawings: Mapping[str, list[Drawing]]) -> None:
        self.drawings = drawings

    def figure(self, name: str, *, timed: bool = False, wide: bool = False, heading: str = "") -> str:
        return frame.chart(name, self.drawings[name][0], timed=timed, wide=wide, heading=heading)

    def data(self) -> str:
        prices = self.drawings["prices"]
        packed = {
            "dark": dark_of(),
            "figures": {name: [d.spec for d in many] for name, many in self.drawings.items()},
            "captions": [d.caption for d in prices],
            "summaries": [d.summary for d in prices],
        }
        return json.dumps(packed, allow_nan=False, separators=(",", ":"))


# -- parts of the page ---------------------------------------------------------------------------------


def _headline_rows(content: ReportContent) -> Iterator[tuple[str, str, str]]:
    def shown(key: str) -> str:
        return format_value(content.stats.get(key, math.nan), STATISTICS[key].unit)

    def big(key: str) -> str:
        return number(content.stats.get(key, math.nan), STATISTICS[key].unit)

    profit = content.profit_before_costs
    share = content.total_cost / profit if profit > 0.0 else math.nan
    cost = (
        f"{format_value(share, 'percent')} of profit before costs"
        if profit > 0.0
        else "no profit before costs"
    )
    yield (
        "Total return",
        big("total_return"),
        f"{escape(content.benchmark_inline)} {shown('buy_hold_return')}",
    )
    yield "Annual growth", big("cagr"), f"volatility {shown('volatility')}"
    yield "Sharpe ratio", big("sharpe"), f"{shown('psr')} likely above 0"
    yield "Maximum drawdown", big("max_drawdown"), f"longest {shown('max_drawdown_bars')} bars"
    yield "Closed trades", big("n_trades"), f"{shown('win_rate')} won"
    places = 0 if content.total_cost >= 1000.0 else 2
    total = f'<data value="{content.total_cost!r}">{format_money(content.total_cost, places)}</data>'
    yield f"Costs, {escape(content.currency)}", total, cost


def _headline(content: ReportContent) -> str:
    tiles = "".join(
        f'<div><dt>{label}</dt><dd class="value">{value}</dd><dd class="beside">{beside}</dd></div>'
        for label, value, beside in _headline_rows(content)
    )
    return f'<dl class="headline">{tiles}</dl>'


def _equity(content: ReportContent, charts: _Charts) -> str:
    positive = bool((content.equity > 0.0).all() and (content.benchmark > 0.0).all())
    button = '<button type="button" id="log" aria-pressed="false">Log scale</button>' if positive else ""
    inner = charts.figure("equity", timed=True)
    inner += f'<div class="gap">{charts.figure("drawdown", timed=True, heading="Drawdown")}</div>'
    inner += f'<div class="gap">{charts.figure("exposure", timed=True, heading="Exposure")}</div>'
    return section(
        f"Equity against {content.benchmark_name[:1].lower()}{content.benchmark_name[1:]}",
        inner,
        button,
        "long",
    )


def _prices(content: ReportContent, charts: _Charts) -> str:
    symbols = trades.asset_order(content)
    if not symbols:
        return ""
    beside, heading = "", f"Trades on {symbols[0]}"
    if len(symbols) > 1:
        options = "".join(f'<option value="{k}">{escape(s)}</option>' for k, s in enumerate(symbols))
        beside = f'<span><label for="asset">Asset </label><select id="asset">{options}</select></span>'
        heading = "Trades on the prices"
    more = ""
    if len(symbols) < len(content.prices):
        chosen = f"{len(symbols)} of {len(content.prices)}"
        more = f'<p class="how">The {chosen} assets with the most trades have a chart.</p>'
    return section(
        heading, charts.figure("prices", timed=True) + more + _trade_table(content), beside, "long"
    )


def _trade_table(content: ReportContent) -> str:
    n = len(content.trades)
    if n == 0:
        return '<p class="how">There was no trade.</p>'
    rows = "".join(_trade_row(row) for row in content.trades.iloc[-MAX_LISTED:].itertuples(index=False))
    title = f"All {n:,} trades" if n <= MAX_LISTED else f"The last {MAX_LISTED} of {n:,} trades"
    heads = "".join(
        f'<th scope="col"{" class=n" if number else ""}>{name}</th>'
        for name, number in (
            ("Asset", False), ("Side", False), ("Entry", False), ("Exit", False), ("Quantity", True),
            ("Entry price", True), ("Exit price", True), (f"Pnl, {escape(content.currency)}", True),
            ("Return", True), ("Bars", True),
        )
    )  # fmt: skip
    return (
        f"<details><summary>{title}</summary>"
        '<div class="scroll" tabindex="0" role="group" aria-label="Trades"><table>'
        f'<caption class="hidden">{title}, open ones marked at the last close</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _trade_row(row: Any) -> str:
    entry, leave = (str(t).removesuffix(" 00:00:00")[:16] for t in (row.entry_time, row.exit_time))
    side = "long" if row.quantity > 0 else "short"
    colour = "win" if row.pnl > 0 else "lost"
    cells = (
        trades.quantity_text(row.quantity), trades.price_text(row.entry_price),
        trades.price_text(row.exit_price),
        f'<span class="{colour}">{format_money(row.pnl)}</span>', format_value(row.return_, "percent"),
        f"{row.bars_held:,.0f}",
    )  # fmt: skip
    return (
        f'<tr><th scope="row">{escape(str(row.symbol))}</th><td>{side}</td><td>{entry}</td>'
        f"<td>{'open' if row.open else leave}</td>"
        + "".join(f'<td class="n">{c}</td>' for c in cells)
        + "</tr>"
    )


def _statistics(content: ReportContent) -> str:
    tables = []
    for group, heading in GROUPS.items():
        known = [s for s in STATISTICS.values() if s.group == group and s.key in content.stats]
        if group == "costs" or not known:
            continue
        rows = "".join(
            f'<tr><th scope="row">{s.label}<span class="how">{escape(s.convention)}</span></th>'
            f'<td class="n">{number(content.stats[s.key], s.unit)}</td></tr>'
            for s in known
        )
        tables.append(
            f'<div><h3 id="g-{group}">{heading}</h3><table aria-labelledby="g-{group}">'
            '<thead class="hidden"><tr><th scope="col">Statistic</th><th scope="col">Value</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    lead = (
        '<p class="how">r: returns of equity, one a bar, the first against the starting cash; n: their '
        f"number, {content.n_bars:,}; bpy: bars a year, {content.bars_per_year:,.6g}; rf: return of one bar "
        f"without risk. Money in {escape(content.currency)}.</p>"
    )
    return section(
        "Statistics, and how each is defined",
        f'{lead}<div class="statistics">{"".join(tables)}</div>',
        "",
        "long",
    )


def _costs(content: ReportContent) -> str:
    profit = content.profit_before_costs

    def cells(money: float) -> str:
        of_profit = money / profit if profit > 0.0 else math.nan
        shares = (format_value(money / content.cash, "percent"), format_value(of_profit, "percent"))
        return f'<td class="n">{number(money, "money")}</td>' + "".join(
            f'<td class="n">{s}</td>' for s in shares
        )

    rows = "".join(
        f'<tr><th scope="row">{STATISTICS[k].label}'
        f'<span class="how">{escape(STATISTICS[k].convention)}</span></th>'
        f"{cells(float(content.costs[k]))}</tr>"
        for k in COST_KEYS
        if k in content.costs
    )
    heads = (escape(content.currency), "of starting cash", "of profit before costs")
    table = (
        '<table class="costs"><caption class="hidden">Costs by component</caption>'
        '<thead><tr><th scope="col">Component</th>'
        + "".join(f'<th scope="col" class="n">{h}</th>' for h in heads)
        + f'</tr></thead><tbody>{rows}</tbody><tfoot><tr><th scope="row">All costs</th>'
        f"{cells(content.total_cost)}</tr></tfoot></table>"
    )
    caption = (
        '<p class="how">Profit before costs = final equity − starting cash + all costs = '
        f"{format_money(profit)} {escape(content.currency)}; a dash where it is not above zero.</p>"
    )
    return section("Costs", table + caption)


def _footer() -> str:
    return (
        "<footer><p>This file is complete in itself and asks nothing of the network. It carries its numbers "
        "as data: <code>quantlab verify</code> runs the backtest again and names the first number that "
        "differs.</p>"
        "<noscript><p>The charts need JavaScript; the numbers do not.</p></noscript></footer>"
    )
