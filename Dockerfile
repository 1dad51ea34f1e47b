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
# `kong` is the same user: compose files written for Kong name it, and the folders it writes to.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/langur --shell /usr/sbin/nologin langur \
 && useradd --non-unique --uid 10001 --gid langur --no-create-home --home-dir /var/lib/langur --shell /usr/sbin/nologin kong \
 && groupadd --non-unique --gid "$(id -g langur)" kong \
 && install -d -o langur -g langur -m 0700 /var/lib/langur /etc/langur/cluster /usr/local/kong /var/run/kong
# Authorities for upstreams with TLS; the slim image has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /langur /usr/local/bin/langur
COPY --from=build /src/scripts/docker-entrypoint.sh /docker-entrypoint.sh
# The same program as a stand-in for Kong's command, which in a container stays in the foreground.
# Its settings file is read by either name.
RUN ln -s langur /usr/local/bin/kong && ln -s /etc/kong/kong.conf /etc/langur.conf
ENV KONG_NGINX_DAEMON=off
USER 10001:10001
WORKDIR /var/lib/langur
VOLUME /var/lib/langur
# The settings of the node, as variables, tell it whom to ask.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["langur", "health"]
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["langur", "start"]
