"""Python's garbage collector, kept from what stays: each full collection goes through it all, and nobody is heard meanwhile."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

LOOK = 1.0


async def calm(settled: Callable[[], bool]) -> None:
    """No collection until ``settled``, and then none of what is there: the first round builds what is kept from then on. At ten
    thousand nodes it took a fifth of the time to find nothing in it; at three, a collection stopped DNS for 55 ms."""
    gc.disable()
    try:
        while True:
            await asyncio.sleep(LOOK)
            if settled():
                return
    finally:
        gc.freeze()
        gc.enable()
