"""Celery's beat, for a clock that may be set back: Celery counts its waits by the wall, and would
be silent until it shows the hour of the last run again."""

from typing import Any

from celery.beat import PersistentScheduler


class Scheduler(PersistentScheduler):  # type: ignore[misc]
    """What ran in the future ran now, in this process or in the one before it."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Seconds until the next one."""
        for entry in self.schedule.values():
            now = entry.default_now()
            if entry.last_run_at > now:
                entry.last_run_at = now
                self._heap = None
        wait: float = super().tick(*args, **kwargs)
        return wait
