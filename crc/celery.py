"""The doorbell: Celery carries ids from the web to the workers. The letters are rows."""

import logging
import os

import kombu.exceptions
import redis
from celery import Celery
from django.conf import settings

from crc import broker

log = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crc.settings")


app = Celery("crc")
app.conf.update(
    broker_url=broker.celery_url(settings.REDIS_URL),
    broker_connection_retry_on_startup=True,
    # Kombu's default is redelivery after an hour; the sweep would have sent by then anyway.
    broker_transport_options={
        "visibility_timeout": 120,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 1,
        "socket_timeout": 10,
        "retry_on_timeout": False,
        # Kombu would try to connect for six seconds before it gives up; workers have their own.
        "max_retries": 0,
    },
    # A web request must not wait for a broker that is down: the sweep will ring instead.
    task_publish_retry=False,
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    task_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    task_routes={
        # Sending waits for the world outside; nothing else may wait for it.
        "alerts.tasks.deliver": {"queue": "deliver"},
        # What tools post waits for what people report (0 is the first, on Redis).
        "alerts.tasks.triage_post": {"priority": 9},
        "sharing.tasks.open_envelope": {"priority": 9},
    },
    beat_scheduler="crc.beat:Scheduler",
    beat_schedule={
        "sweep": {
            "task": "alerts.tasks.sweep",
            "schedule": float(settings.SWEEP_SECONDS),
            # A sweep that waited for its turn is as good as none.
            "options": {"expires": settings.SWEEP_SECONDS * 2},
        },
        "seal": {
            "task": "sharing.tasks.seal",
            "schedule": float(settings.SWEEP_SECONDS),
            "options": {"expires": settings.SWEEP_SECONDS * 2},
        },
    },
)
app.autodiscover_tasks()


def ring(task: object, *arguments: object) -> bool:
    """Enqueue without waiting for a broker that is down: the row is the letter anyway."""
    try:
        task.apply_async(arguments, retry=False)  # type: ignore[attr-defined]
    except (kombu.exceptions.OperationalError, redis.RedisError, OSError) as error:
        log.warning("broker does not answer (%s); the sweep will do it", type(error).__name__)
        return False
    return True
