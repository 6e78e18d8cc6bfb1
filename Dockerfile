# The service without a PostgreSQL of its own: it is given LEDGER_DATABASE_URL.
# It listens on loopback; compose.yaml shows how to reach it.

FROM python:3.13-slim AS build
WORKDIR /build
COPY requirements-image.lock requirements-build.lock ./
RUN python -m venv --without-pip /opt/ledger \
    && pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements-build.lock \
    && pip --python /opt/ledger install --no-cache-dir --require-hashes --no-deps --only-binary :all: \
        -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY protos protos
COPY generated generated
COPY ledger_server ledger_server
COPY ledger_client ledger_client
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir dist . \
    && pip --python /opt/ledger install --no-deps --no-index dist/*.whl

FROM python:3.13-slim
COPY --from=build /opt/ledger /opt/ledger
ENV PATH=/opt/ledger/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1
USER 65532:65532
EXPOSE 50051/tcp
# The service drains: calls in flight finish, health turns NOT_SERVING.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["ledger-server", "health"]
ENTRYPOINT ["ledger-server"]
CMD ["serve"]
