"""Reports: frames in, figures and one self-contained HTML text out. No file is written, no engine known."""

from quantlab.report.content import ReportContent
from quantlab.report.figures import overview
from quantlab.report.heatmap import contour_figure, heatmap_figure
from quantlab.report.page import render
from quantlab.report.record import Difference, content_to_data, first_difference, read_result
from quantlab.report.surface import pivot
from quantlab.report.sweep_content import SweepContent
from quantlab.report.sweep_page import sweep_page

__all__ = [
    "Difference",
    "ReportContent",
    "SweepContent",
    "content_to_data",
    "contour_figure",
    "first_difference",
    "heatmap_figure",
    "overview",
    "pivot",
    "read_result",
    "render",
    "sweep_page",
]
