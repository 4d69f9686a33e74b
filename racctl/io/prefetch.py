"""Making the next item while the one before is worked on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from queue import Queue
from threading import Event, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterable[Item], depth: int = 3) -> Iterator[Item]:
    """Yield the items, made by a thread while the one before is computed with.

    In the same order, `depth` of them in wait.
    """
    queue: Queue[Any] = Queue(depth)
    stop, end = Event(), object()

    def work() -> None:
        try:
            for item in items:
                if stop.is_set():
                    return
                queue.put(item)
            queue.put(end)
        except BaseException as error:  # raised again where it is waited for
            queue.put(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        while not queue.empty():
            queue.get_nowait()
        thread.join(5)
