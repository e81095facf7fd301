# The `neap` program in a small image. For the classic builder and for BuildKit alike.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /build
# The dependencies in a layer of their own, which stays while only neap's own sources change.
COPY Cargo.toml Cargo.lock ./
COPY crates/neap-protocol/Cargo.toml crates/neap-protocol/
COPY crates/neap-storage/Cargo.toml crates/neap-storage/
COPY crates/neap-sim/Cargo.toml crates/neap-sim/
COPY benches benches
RUN mkdir -p src tests crates/neap-protocol/src crates/neap-storage/src crates/neap-sim/src \
 && echo 'fn main() {}' | tee src/main.rs > tests/main.rs \
 && touch src/lib.rs crates/neap-protocol/src/lib.rs crates/neap-storage/src/lib.rs crates/neap-sim/src/lib.rs \
 && cargo build --locked --release --bin neap
COPY crates crates
COPY src src
# Newer than the stand-ins above, whatever the times in the context are.
RUN touch src/lib.rs src/main.rs crates/*/src/lib.rs \
 && cargo build --locked --release --bin neap \
 && strip -o /neap target/release/neap

FROM ${RUNTIME_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/neap --shell /usr/sbin/nologin neap \
 && mkdir -p /var/lib/neap /etc/neap \
 && chown neap:neap /var/lib/neap /etc/neap
COPY --from=build /neap /usr/local/bin/neap
USER neap
VOLUME /var/lib/neap
# REST, and peers. A node serves both on loopback alone, so that nobody outside of its container reaches it, unless it is
# told otherwise: NEAP_HTTP__LISTEN=0.0.0.0:8101, NEAP_PEER__LISTEN=0.0.0.0:7101 with NEAP_CLUSTER__SECRET_FILE.
EXPOSE 8101 7101
# A node drains on it: it refuses new work, finishes what is in flight, and leaves the mark of a clean stop.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 CMD ["neap", "ready"]
ENTRYPOINT ["neap"]
CMD ["node"]
