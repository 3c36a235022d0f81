"""Reports: frames in, figures and one self-contained HTML text out. No file is written, no engine known."""

from quantlab.report.content import ReportContent
from quantlab.report.figures import overview
from quantlab.report.page import render
from quantlab.report.record import Difference, content_to_data, first_difference, read_result

__all__ = [
    "Difference",
    "ReportContent",
    "content_to_data",
    "first_difference",
    "overview",
    "read_result",
    "render",
]
