"""Finds and starts Chromium for the browser tests, the screenshots and the page's benchmark."""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium(playwright: Playwright) -> str:
    """Path of the browser: LOUPE_CHROMIUM, then PATH, then Playwright's own.

    Raises FileNotFoundError, which says how to get one.
    """
    chosen = os.environ.get("LOUPE_CHROMIUM")
    candidates = [chosen] if chosen else [shutil.which(name) for name in NAMES]
    if not chosen:
        candidates.append(playwright.chromium.executable_path)
    for candidate in candidates:
        if candidate and Path(candidate).is_file():
            return candidate
    looked_for = f"LOUPE_CHROMIUM={chosen}" if chosen else f"none of {', '.join(NAMES)} on PATH"
    raise FileNotFoundError(f"No Chromium: {looked_for}. `make setup` installs one.")


def launch(playwright: Playwright) -> Browser:
    """A headless Chromium that asks the network for nothing of its own."""
    return playwright.chromium.launch(executable_path=find_chromium(playwright), args=list(ARGUMENTS))
