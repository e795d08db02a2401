"""An archive as one page of HTML: what it holds, what that costs, what the masks look like."""

from supsup.report.page import write_report

__all__ = ["write_report"]
