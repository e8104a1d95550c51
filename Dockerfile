# docker build -t ghost_tunnel .
# docker run --cap-add=NET_ADMIN --device=/dev/net/tun ghost_tunnel --help

FROM debian:bookworm-slim AS build
# gcc and the headers serve machines for which a dependency ships no wheel.
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv python3-dev gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python3 -m venv /opt/ghosttunnel \
    && /opt/ghosttunnel/bin/pip install --no-cache-dir "/source[fast,metrics]" \
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
