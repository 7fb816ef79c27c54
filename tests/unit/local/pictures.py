"""Images for tests."""

from __future__ import annotations

import io

from PIL import Image


def picture(width: int = 40, height: int = 30) -> bytes:
    """A white PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    return buffer.getvalue()
