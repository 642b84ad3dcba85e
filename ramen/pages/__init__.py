"""Pages for a browser: what a data set holds, and what a run got right. One file each, no network."""

from __future__ import annotations

from ramen.pages.data_page import write_data_page
from ramen.pages.report_page import write_report_page

__all__ = ["write_data_page", "write_report_page"]
