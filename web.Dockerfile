# web alone. It listens on port 8080, and keeps its lines in the Postgres that db_host names.
#
#   docker build -t appcoup/web -f web.Dockerfile .
#   docker run --rm -e db_host=db -e db_user=web -e db_pass -e db_name=web -p 8080:8080 appcoup/web
#
# The stages above the last "FROM" are the same in all four Dockerfiles, so that each is built once for all of them.

FROM rust:1.95-slim-bookworm AS dependencies
WORKDIR /build
# Static, because the image holds no library. Relocations are packed where the linker can, which saves 1 %. A target is
# named, though it is the machine's own, or cargo would apply the flags to procedural macros too, which can't be static.
ENV RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" \
    CARGO_BUILD_TARGET=host-tuple
COPY Cargo.toml Cargo.lock ./
COPY generator/Cargo.toml generator/
COPY generator/numbers/Cargo.toml generator/numbers/
COPY echo/Cargo.toml echo/
COPY web/Cargo.toml web/
COPY fuzz/checks/Cargo.toml fuzz/checks/
# Empty programs: this layer holds the compiled dependencies of all, and outlives every change of their sources. The
# generator does one thing at a time, so a panic may end it at once; without code to survive one it is 5 % smaller.
RUN mkdir generator/src generator/numbers/src echo/src web/src fuzz/checks/src \
    && touch generator/numbers/src/lib.rs fuzz/checks/src/lib.rs \
    && echo 'fn main() {}' >generator/src/main.rs \
    && echo 'fn main() {}' >echo/src/main.rs \
    && echo 'fn main() {}' >web/src/main.rs \
    && CARGO_PROFILE_RELEASE_PANIC=abort cargo build --release --locked -p generator \
    && cargo build --release --locked -p echo \
    && cargo build --release --locked -p web

FROM dependencies AS web
COPY web/src web/src
# touch: cargo goes by the times of files, and these may be older than the empty program that it has just compiled.
RUN touch web/src/*.rs && cargo build --release --locked -p web
RUN mkdir /image && cp target/*/release/web /image/

FROM scratch
COPY --from=web /image/ /
USER 65532:0
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 CMD ["/web", "check"]
ENTRYPOINT ["/web"]

ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="appcoup/web" \
      org.opencontainers.image.description="Keeps lines in Postgres, those of a followed file exactly once" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
