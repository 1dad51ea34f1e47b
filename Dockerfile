# Langur built from source. `just up` uses it; it needs an image registry and crates.io.
# Dockerfile.packed makes the same image from a binary that is built already.

FROM rust:1-bookworm AS build
# `dist` is slower to build and faster to run.
ARG PROFILE=release
WORKDIR /src
COPY . .
RUN cargo build --locked --profile "$PROFILE" && cp "target/$PROFILE/langur" /langur

FROM debian:bookworm-slim
# Its own user; the node's only writable place is prefix. Volumes begin as these folders are.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/langur --shell /usr/sbin/nologin langur \
 && install -d -o langur -g langur -m 0700 /var/lib/langur /etc/langur/cluster
# Authorities for upstreams with TLS; the slim image has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /langur /usr/local/bin/langur
USER 10001:10001
WORKDIR /var/lib/langur
VOLUME /var/lib/langur
# The settings of the node, as variables, tell it whom to ask.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["langur", "health"]
ENTRYPOINT ["langur"]
CMD ["start"]
