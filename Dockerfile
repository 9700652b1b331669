# The steps are those of `make run`, which CI runs: a venv from the lock with hashes, then the code.
FROM python:3.11-slim-bookworm AS build
WORKDIR /srv/hub
COPY requirements.lock ./
RUN python -m venv .venv && .venv/bin/python -m pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /srv/hub --shell /usr/sbin/nologin hub
WORKDIR /srv/hub
COPY --from=build /srv/hub/.venv .venv
COPY manage.py pyproject.toml LICENSE NOTICE ./
COPY crc crc
COPY sharing sharing
COPY alerts alerts
RUN install -d -o hub -g hub -m 700 /var/lib/hub
ENV PATH=/srv/hub/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 CRC_DATA_DIR=/var/lib/hub
USER hub
VOLUME /var/lib/hub
EXPOSE 8000
CMD ["uvicorn", "crc.asgi:app", "--http", "crc.wire:Protocol", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--no-server-header", "--lifespan", "off"]
