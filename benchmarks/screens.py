"""Screenshots of the report, the site and the terminal, and how long a browser loads a report.

    pip install playwright; python -m benchmarks.screens --browser /usr/bin/chromium

The report is of archives of 5 and of 2,500 random masks, light and dark; its seconds are from the
start of loading to the end of the page's own script, the median of several loads. The terminal is
drawn as its text in a page. Pictures are written to ``docs/pictures``.
"""

import argparse
import fcntl
import html
import os
import pty
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.results import ROOT, save_results
from benchmarks.serving import make_archive

PICTURES = ROOT / "docs" / "pictures"
COUNTS, LOADS = (5, 2500), 7
SCHEMES = ("light", "dark")
WIDTHS = (60, 120)
WINDOW = {"width": 1000, "height": 720}
SITE = {"site": "index.html", "howto": "howto/my-network.html"}


def main() -> None:
    """Make the pictures, and write docs/results/screens.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browser", required=True, help="path of chromium")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, opened(options.browser) as browser:
        folder = Path(temporary)
        found = {str(count): report(folder, count, browser) for count in COUNTS}
        for width in WIDTHS:
            page = terminal_page(listed(folder / f"{COUNTS[0]}.h5", width), width)
            (folder / "terminal.html").write_text(page, "utf-8")
            shoot(browser, folder / "terminal.html", f"list-{width}", "dark", "pre")
        command = [sys.executable, "-m", "sphinx", "-q", str(ROOT / "docs"), str(folder / "site")]
        subprocess.run(command, check=True)
        for name, page in SITE.items():
            shoot(browser, folder / "site" / page, name, "light")
    save_results("screens", {"loads": LOADS, "window": WINDOW, "report": found})


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def report(folder: Path, count: int, browser: Any) -> dict[str, Any]:
    """Bytes of a report and seconds that loading it takes; its pictures."""
    from supsup import SupSup

    make_archive(folder / f"{count}.h5", count)
    page = folder / f"report-{count}.html"
    with SupSup.open(folder / f"{count}.h5") as model:
        size = model.report(page)
    found = {scheme: shoot(browser, page, f"{page.stem}-{scheme}", scheme) for scheme in SCHEMES}
    seconds = [each for loads in found.values() for each in loads]
    return {
        "bytes": size,
        "seconds": round(statistics.median(seconds), 3),
        "slowest_seconds": round(max(seconds), 3),
    }


def shoot(browser: Any, page: Path, name: str, scheme: str, part: str | None = None) -> list[float]:
    """Seconds of several loads of a page, of which nothing may go to the network; its picture.

    Args:
        part: the element to draw; None for what a window shows.
    """
    seconds = []
    for _ in range(LOADS):
        context = browser.new_context(color_scheme=scheme, viewport=WINDOW)
        tab, asked, errors = context.new_page(), [], []
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        tab.goto(page.as_uri())
        loaded = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        seconds.append(tab.evaluate(loaded) / 1000)
        abroad = [url for url in asked if not url.startswith(("file:", "data:"))]
        if abroad or errors:
            raise SystemExit(f"{page.name}: asked for {abroad}, failed with {errors}")
        place = tab.locator(part) if part else tab
        place.screenshot(path=str(PICTURES / f"{name}.png"))
        context.close()
    return seconds


def listed(archive: Path, width: int) -> str:
    """What ``supsup-store list`` writes to a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    run = subprocess.Popen(
        [sys.executable, "-m", "supsup_store", "list", archive.name],
        cwd=archive.parent,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
        stdout=follower,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            block = os.read(leader, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        written += block
    os.close(leader)
    if run.wait():
        raise SystemExit(f"list ended with {run.returncode}")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode()).replace("\r\n", "\n")


def terminal_page(text: str, width: int) -> str:
    """A terminal's text as a page that draws it."""
    return (
        '<!doctype html><meta charset="utf-8"><style>body{margin:0;background:#1e1e1e}'
        "pre{margin:0;padding:12px;display:inline-block;color:#d4d4d4;line-height:1.2;"
        f"font-family:'DejaVu Sans Mono',monospace;font-size:13px;min-width:{width}ch}}</style>"
        f"<pre>$ supsup-store list\n{html.escape(text.rstrip())}</pre>"
    )


if __name__ == "__main__":
    main()
