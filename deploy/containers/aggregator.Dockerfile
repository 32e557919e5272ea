# The blind adder of a Collegium study. Context: this folder, with a wheelhouse/ in it (python -m deploy.release.wheelhouse).
# Nothing is fetched: build it without a network. BASE is a Debian 12 image with Python 3.11, named by digest
# (python@sha256:...); it has no default, since a tag may be another image tomorrow.
ARG BASE
FROM ${BASE} AS made
COPY program.py rootfs.py health.py /build/
RUN --mount=type=bind,source=wheelhouse,target=/wheelhouse \
    export PYTHONHASHSEED=0 && \
    mkdir -p /image/opt && rmdir /opt && ln -s /image/opt /opt && \
    python3 -m venv /installer && \
    python3 -m venv --without-pip /opt/collegium && \
    /installer/bin/pip --python /opt/collegium/bin/python3 install --quiet --no-cache-dir --no-index --no-compile \
      --only-binary :all: --no-deps --require-hashes --find-links /wheelhouse/wheels -r /wheelhouse/aggregator.txt && \
    python3 /build/program.py aggregator /opt/collegium && \
    cp /build/health.py /opt/collegium/health.py && \
    python3 /build/rootfs.py /image

FROM scratch
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="collegium-aggregator" \
      org.opencontainers.image.description="The blind adder of a Collegium study" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=made /image/ /
ENV HOME=/tmp LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /state
STOPSIGNAL SIGTERM
# Healthy while /livez answers: start the program with --watch-at unix:/tmp/watch.sock.
HEALTHCHECK --interval=30s --timeout=6s --start-period=120s CMD ["/opt/collegium/bin/python3", "-I", "/opt/collegium/health.py"]
ENTRYPOINT ["/opt/collegium/bin/collegium-aggregator"]
CMD ["--help"]
