"""What a pseudo-terminal shows: the kernel hands it over in pieces, a little later."""

from __future__ import annotations

import os
import select


def shown_on(master: int, length: int) -> bytes:
    """The next ``length`` bytes, or what there is of them within 5 seconds."""
    data = b""
    while len(data) < length and select.select([master], [], [], 5)[0]:
        data += os.read(master, length - len(data))
    return data
