"""Self-contained HTML pages: statistics of a data set, and the evaluation of a run."""

from __future__ import annotations

from ramen.pages.data_page import write_data_page
from ramen.pages.report_page import write_report_page

__all__ = ["write_data_page", "write_report_page"]
