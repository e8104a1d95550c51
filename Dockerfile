# docker build -t ghost_tunnel .
# docker run --cap-add=NET_ADMIN --device=/dev/net/tun ghost_tunnel --help

FROM debian:bookworm-slim AS build
# gcc and the headers compile the core, and what has no wheel for this machine.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv python3-dev gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python3 -m venv /opt/ghosttunnel \
    && /opt/ghosttunnel/bin/pip install --no-cache-dir "/source[fast,metrics]" \
    && /opt/ghosttunnel/bin/pip install --no-cache-dir --target /opt/compiler setuptools "mypy~=2.4.1" \
    && cd /source \
    && PYTHONPATH=/opt/compiler GHOSTTUNNEL_COMPILE=1 /opt/ghosttunnel/bin/python setup.py --quiet build_ext \
       --build-lib "$(/opt/ghosttunnel/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && /opt/ghosttunnel/bin/pip uninstall -y setuptools pip

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 iproute2 nftables \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/ghosttunnel /opt/ghosttunnel
RUN ln -s /opt/ghosttunnel/bin/ghosttunnel /usr/local/bin/ghosttunnel
EXPOSE 8000/udp
# The keys and the list of clients: lose this volume and every client needs a new invite.
VOLUME /var/lib/ghosttunnel
ENTRYPOINT ["ghosttunnel"]
