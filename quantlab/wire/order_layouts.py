"""Where the fields of an order stand: when it is placed, when it is open, and when it is over."""

from __future__ import annotations

from quantlab.wire.contract import Contract
from quantlab.wire.fields import (
    FLAG,
    INTEGER,
    MONEY,
    NUMBER,
    NUMBER_OR_INFINITY,
    OPTIONAL_FLAG,
    OPTIONAL_INTEGER,
    OPTIONAL_NUMBER,
    SIZE,
    STRIKE,
    TEXT,
    Kind,
)
from quantlab.wire.layout import Element, Empty, Field, Fixed, Items, Layout, Refuse, When
from quantlab.wire.order import OrderStateData, OrderTicket
from quantlab.wire.reports import CompletedOrder, OpenOrder
from quantlab.wire.requests import PlaceOrder

__all__ = ["COMPLETED_ORDER", "OPEN_ORDER", "PLACE_ORDER", "contract_fields"]

_NO_COMBINATIONS = "Combinations are not spoken here: trade the legs one by one."
_NO_CONDITIONS = "Conditional orders are not spoken here: watch the condition and send a plain order."
_NO_DELTA_NEUTRAL = "Delta-neutral contracts are not spoken here: hedge by an order of its own."


def contract_fields(names: str) -> tuple[Field, ...]:
    """Fields of the contract by name, in the order given."""
    kinds: dict[str, Kind] = {"con_id": INTEGER, "strike": STRIKE, "include_expired": FLAG}
    return tuple(Field(f"contract.{name}", kinds.get(name, TEXT)) for name in names.split())


def _order(names: str, kind: Kind, since: int = 0) -> tuple[Field, ...]:
    return tuple(Field(f"order.{name}", kind, since=since) for name in names.split())


def _state(names: str, kind: Kind) -> tuple[Field, ...]:
    return tuple(Field(f"state.{name}", kind) for name in names.split())


def _is_set(value: object) -> bool:
    return bool(value)


def _is_positive(value: float | None) -> bool:
    return value is not None and value > 0


# -- parts that all three have -------------------------------------------------------------------------

_NO_BAG = Refuse("contract.security_type", lambda value: value == "BAG", _NO_COMBINATIONS)

_CONTRACT: tuple[Element, ...] = (
    *contract_fields("con_id symbol security_type last_trade_date strike right multiplier exchange"),
    *contract_fields("currency local_symbol trading_class"),
    _NO_BAG,
)

_WHAT = (
    *_order("action", TEXT),
    *_order("quantity", SIZE),
    *_order("order_type", TEXT),
    *_order("limit_price aux_price", OPTIONAL_NUMBER),
    *_order("tif oca_group account open_close", TEXT),
    *_order("origin", INTEGER),
    *_order("order_ref", TEXT),
)

_BOX = _order("starting_price stock_ref_price delta stock_range_lower stock_range_upper", OPTIONAL_NUMBER)

_SCALE: tuple[Element, ...] = (
    *_order("scale_init_level_size scale_subs_level_size", OPTIONAL_INTEGER),
    *_order("scale_price_increment", OPTIONAL_NUMBER),
    When(
        "order.scale_price_increment",
        _is_positive,
        (
            *_order("scale_price_adjust_value", OPTIONAL_NUMBER),
            *_order("scale_price_adjust_interval", OPTIONAL_INTEGER),
            *_order("scale_profit_offset", OPTIONAL_NUMBER),
            *_order("scale_auto_reset", FLAG),
            *_order("scale_init_position scale_init_fill_quantity", OPTIONAL_INTEGER),
            *_order("scale_random_percent", FLAG),
        ),
    ),
)

_HEDGE: tuple[Element, ...] = (
    *_order("hedge_type", TEXT),
    When("order.hedge_type", _is_set, _order("hedge_param", TEXT)),
)

_ALGO: tuple[Element, ...] = (
    *_order("algo_strategy", TEXT),
    When("order.algo_strategy", _is_set, (Items("order.algo_params", (TEXT, TEXT)),)),
)

_BENCHMARK = When(
    "order.order_type",
    lambda value: value in {"PEG BENCH", "PEGBENCH"},
    (
        *_order("reference_contract_id", INTEGER),
        *_order("is_pegged_change_amount_decrease", FLAG),
        *_order("pegged_change_amount reference_change_amount", NUMBER),
        *_order("reference_exchange_id", TEXT),
    ),
)

_CONDITIONS = Empty("conditions", _NO_CONDITIONS)
_DELTA_NEUTRAL_CONTRACT = Empty("delta-neutral contracts", _NO_DELTA_NEUTRAL)

_COMBINATION: tuple[Element, ...] = (
    Fixed(),
    Empty("combination legs", _NO_COMBINATIONS),
    Empty("prices of combination legs", _NO_COMBINATIONS),
    Empty("parameters of combination routing", _NO_COMBINATIONS),
)


def _delta_neutral(*, attributes: bool) -> tuple[Element, ...]:
    """Fields of a volatility order's hedge; ``attributes`` are those that completed orders lack."""
    clearing = "delta_neutral_settling_firm delta_neutral_clearing_account delta_neutral_clearing_intent"
    hedge = (
        *_order("delta_neutral_con_id", INTEGER),
        *(_order(clearing + " delta_neutral_open_close", TEXT) if attributes else ()),
        *_order("delta_neutral_short_sale", FLAG),
        *_order("delta_neutral_short_sale_slot", INTEGER),
        *_order("delta_neutral_designated_location", TEXT),
    )
    return (
        *_order("volatility", OPTIONAL_NUMBER),
        *_order("volatility_type", OPTIONAL_INTEGER),
        *_order("delta_neutral_order_type", TEXT),
        *_order("delta_neutral_aux_price", OPTIONAL_NUMBER),
        When("order.delta_neutral_order_type", _is_set, hedge),
        *_order("continuous_update", FLAG),
        *_order("reference_price_type", OPTIONAL_INTEGER),
        *_order("trail_stop_price trailing_percent", OPTIONAL_NUMBER),
    )


_PEG_OFFSETS = (
    *_order("min_trade_quantity min_compete_size", OPTIONAL_INTEGER, since=170),
    *_order("compete_against_best_offset", NUMBER_OR_INFINITY, since=170),
    *_order("mid_offset_at_whole mid_offset_at_half", OPTIONAL_NUMBER, since=170),
)

_MID_OFFSETS = _order("mid_offset_at_whole mid_offset_at_half", OPTIONAL_NUMBER)

# -- placed --------------------------------------------------------------------------------------------

_PLACED: tuple[Element, ...] = (
    Field("order_id", INTEGER),
    *contract_fields("con_id symbol security_type last_trade_date strike right multiplier exchange"),
    *contract_fields("primary_exchange currency local_symbol trading_class sec_id_type sec_id"),
    _NO_BAG,
    *_WHAT,
    *_order("transmit", FLAG),
    *_order("parent_id", INTEGER),
    *_order("block_order sweep_to_fill", FLAG),
    *_order("display_size", OPTIONAL_INTEGER),
    *_order("trigger_method", INTEGER),
    *_order("outside_rth hidden", FLAG),
    Fixed(),
    *_order("discretionary_amount", NUMBER),
    *_order("good_after_time good_till_date fa_group fa_method fa_percentage", TEXT),
    Fixed(until=177),
    *_order("model_code", TEXT),
    *_order("short_sale_slot", INTEGER),
    *_order("designated_location", TEXT),
    *_order("exempt_code oca_type", INTEGER),
    *_order("rule_80a settling_firm", TEXT),
    *_order("all_or_none", FLAG),
    *_order("min_quantity", OPTIONAL_INTEGER),
    *_order("percent_offset", OPTIONAL_NUMBER),
    *_order("e_trade_only firm_quote_only", FLAG),
    *_order("nbbo_price_cap", OPTIONAL_NUMBER),
    *_order("auction_strategy", INTEGER),
    *_BOX,
    *_order("override_percentage_constraints", FLAG),
    *_delta_neutral(attributes=True),
    *_SCALE,
    *_order("scale_table active_start_time active_stop_time", TEXT),
    *_HEDGE,
    *_order("opt_out_smart_routing", FLAG),
    *_order("clearing_account clearing_intent", TEXT),
    *_order("not_held", FLAG),
    _DELTA_NEUTRAL_CONTRACT,
    *_ALGO,
    *_order("algo_id", TEXT),
    *_order("what_if", FLAG),
    *_order("misc_options", TEXT),
    *_order("solicited randomize_size randomize_price", FLAG),
    _BENCHMARK,
    _CONDITIONS,
    *_order("adjusted_order_type", TEXT),
    *_order("trigger_price limit_price_offset adjusted_stop_price", OPTIONAL_NUMBER),
    *_order("adjusted_stop_limit_price adjusted_trailing_amount", OPTIONAL_NUMBER),
    *_order("adjustable_trailing_unit", INTEGER),
    *_order("ext_operator soft_dollar_name soft_dollar_value", TEXT),
    *_order("cash_quantity", OPTIONAL_NUMBER),
    *_order("mifid2_decision_maker mifid2_decision_algo mifid2_execution_trader mifid2_execution_algo", TEXT),
    *_order("dont_use_auto_price_for_hedge is_oms_container discretionary_up_to_limit_price", FLAG),
    *_order("use_price_mgmt_algo", OPTIONAL_FLAG),
    *_order("duration", OPTIONAL_INTEGER, since=158),
    *_order("post_to_ats", OPTIONAL_INTEGER, since=160),
    *_order("auto_cancel_parent", FLAG, since=162),
    *_order("advanced_error_override", TEXT, since=166),
    *_order("manual_order_time", TEXT, since=169),
    When(
        "contract.exchange",
        lambda value: value == "IBKRATS",
        _order("min_trade_quantity", OPTIONAL_INTEGER),
        since=170,
    ),
    When(
        "order.order_type",
        lambda value: value in {"PEG BEST", "PEGBEST"},
        (
            *_order("min_compete_size", OPTIONAL_INTEGER),
            *_order("compete_against_best_offset", NUMBER_OR_INFINITY),
            When("order.compete_against_best_offset", lambda value: value == float("inf"), _MID_OFFSETS),
        ),
        since=170,
    ),
    When("order.order_type", lambda value: value in {"PEG MID", "PEGMID"}, _MID_OFFSETS, since=170),
    *_order("customer_account", TEXT, since=183),
    *_order("professional_customer", FLAG, since=184),
    Fixed(since=187, until=190),
    Fixed("2147483647", since=187, until=190),
    *_order("include_overnight", FLAG, since=189),
    *_order("manual_order_indicator", OPTIONAL_INTEGER, since=192),
    *_order("imbalance_only", FLAG, since=199),
)

# -- open ----------------------------------------------------------------------------------------------

_PREVIEW: tuple[Element, ...] = (
    *_state("status", TEXT),
    *_state("init_margin_before maint_margin_before equity_with_loan_before", TEXT),
    *_state("init_margin_change maint_margin_change equity_with_loan_change", TEXT),
    *_state("init_margin_after maint_margin_after equity_with_loan_after", TEXT),
    *_state("commission min_commission max_commission", OPTIONAL_NUMBER),
    *_state("commission_currency", TEXT),
    *(Fixed(since=195) for _ in range(12)),
    Empty("allocations", "Orders for several accounts are not spoken here.", since=195),
    *_state("warning_text", TEXT),
)

_AFTER_HIDDEN = (
    *_order("outside_rth hidden", FLAG),
    *_order("discretionary_amount", NUMBER),
    *_order("good_after_time", TEXT),
)

_ADVISOR: tuple[Element, ...] = (
    *_order("fa_group fa_method fa_percentage", TEXT),
    Fixed(until=177),
    *_order("model_code good_till_date rule_80a", TEXT),
    *_order("percent_offset", OPTIONAL_NUMBER),
    *_order("settling_firm", TEXT),
    *_order("short_sale_slot", INTEGER),
    *_order("designated_location", TEXT),
    *_order("exempt_code", INTEGER),
)

_OPEN: tuple[Element, ...] = (
    Field("order_id", INTEGER),
    *_CONTRACT,
    *_WHAT,
    Field("client_id", INTEGER),
    Field("perm_id", INTEGER),
    *_AFTER_HIDDEN,
    Fixed(),
    *_ADVISOR,
    *_order("auction_strategy", INTEGER),
    *_BOX,
    *_order("display_size", OPTIONAL_INTEGER),
    *_order("block_order sweep_to_fill all_or_none", FLAG),
    *_order("min_quantity", OPTIONAL_INTEGER),
    *_order("oca_type", INTEGER),
    *_order("e_trade_only firm_quote_only", FLAG),
    *_order("nbbo_price_cap", OPTIONAL_NUMBER),
    *_order("parent_id trigger_method", INTEGER),
    *_delta_neutral(attributes=True),
    *_order("basis_points", OPTIONAL_NUMBER),
    *_order("basis_points_type", OPTIONAL_INTEGER),
    *_COMBINATION,
    *_SCALE,
    *_HEDGE,
    *_order("opt_out_smart_routing", FLAG),
    *_order("clearing_account clearing_intent", TEXT),
    *_order("not_held", FLAG),
    _DELTA_NEUTRAL_CONTRACT,
    *_ALGO,
    *_order("solicited what_if", FLAG),
    *_PREVIEW,
    *_order("randomize_size randomize_price", FLAG),
    _BENCHMARK,
    _CONDITIONS,
    *_order("adjusted_order_type", TEXT),
    *_order("trigger_price trail_stop_price limit_price_offset adjusted_stop_price", MONEY),
    *_order("adjusted_stop_limit_price adjusted_trailing_amount", MONEY),
    *_order("adjustable_trailing_unit", INTEGER),
    *_order("soft_dollar_name soft_dollar_value soft_dollar_display_name", TEXT),
    *_order("cash_quantity", MONEY),
    *_order("dont_use_auto_price_for_hedge is_oms_container discretionary_up_to_limit_price", FLAG),
    *_order("use_price_mgmt_algo", OPTIONAL_FLAG),
    *_order("duration", OPTIONAL_INTEGER, since=158),
    *_order("post_to_ats", OPTIONAL_INTEGER, since=160),
    *_order("auto_cancel_parent", FLAG, since=162),
    *_PEG_OFFSETS,
    *_order("customer_account", TEXT, since=183),
    *_order("professional_customer", FLAG, since=184),
    *_order("bond_accrued_interest", TEXT, since=185),
    *_order("include_overnight", FLAG, since=189),
    *_order("ext_operator", TEXT, since=193),
    *_order("manual_order_indicator", OPTIONAL_INTEGER, since=193),
    *_order("submitter", TEXT, since=198),
    *_order("imbalance_only", FLAG, since=199),
)

# -- completed -----------------------------------------------------------------------------------------

_COMPLETED: tuple[Element, ...] = (
    *_CONTRACT,
    *_WHAT,
    Field("perm_id", INTEGER),
    *_AFTER_HIDDEN,
    *_ADVISOR,
    *_BOX,
    *_order("display_size", OPTIONAL_INTEGER),
    *_order("sweep_to_fill all_or_none", FLAG),
    *_order("min_quantity", OPTIONAL_INTEGER),
    *_order("oca_type trigger_method", INTEGER),
    *_delta_neutral(attributes=False),
    *_COMBINATION,
    *_SCALE,
    *_HEDGE,
    *_order("clearing_account clearing_intent", TEXT),
    *_order("not_held", FLAG),
    _DELTA_NEUTRAL_CONTRACT,
    *_ALGO,
    *_order("solicited", FLAG),
    *_state("status", TEXT),
    *_order("randomize_size randomize_price", FLAG),
    _BENCHMARK,
    _CONDITIONS,
    *_order("trail_stop_price limit_price_offset", MONEY),
    *_order("cash_quantity", MONEY),
    *_order("dont_use_auto_price_for_hedge is_oms_container", FLAG),
    Field("auto_cancel_date", TEXT),
    Field("filled_quantity", SIZE),
    Field("ref_futures_con_id", INTEGER),
    *_order("auto_cancel_parent", FLAG),
    Field("shareholder", TEXT),
    *_order("imbalance_only", FLAG),
    Field("route_marketable_to_bbo", FLAG),
    Field("parent_perm_id", INTEGER),
    *_state("completed_time completed_status", TEXT),
    *_PEG_OFFSETS,
    *_order("customer_account", TEXT, since=183),
    *_order("professional_customer", FLAG, since=184),
    *_order("submitter", TEXT, since=198),
)

_WITHIN = (("contract", Contract), ("order", OrderTicket), ("state", OrderStateData))

PLACE_ORDER = Layout(PlaceOrder, _PLACED, _WITHIN[:2])
OPEN_ORDER = Layout(OpenOrder, _OPEN, _WITHIN)
COMPLETED_ORDER = Layout(CompletedOrder, _COMPLETED, _WITHIN)
