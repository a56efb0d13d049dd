# Both programs in one container: echo is its first process, and runs its server and the generator.
#
#   docker build -t appcoup . && docker run --rm -p 8000:8000 appcoup
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

FROM dependencies AS generator
COPY generator/src generator/src
COPY generator/numbers/src generator/numbers/src
# touch: cargo goes by the times of files, and these may be older than the empty program that it has just compiled.
RUN touch generator/src/*.rs generator/numbers/src/lib.rs && CARGO_PROFILE_RELEASE_PANIC=abort cargo build --release --locked -p generator
# Any user may make files in the folder, whatever --user says, and none can rename or delete those of another; a new named
# volume takes its mode over.
RUN mkdir -p /image/tmp/out \
    && chmod 1777 /image/tmp /image/tmp/out \
    && cp target/*/release/generator /image/

FROM dependencies AS echo
COPY echo/src echo/src
# touch: cargo goes by the times of files, and these may be older than the empty program that it has just compiled.
RUN touch echo/src/*.rs && cargo build --release --locked -p echo
# Any user may make files in the folder, whatever --user says, and none can rename or delete those of another; a new named
# volume takes its mode over.
RUN mkdir -p /image/tmp/in \
    && chmod 1777 /image/tmp /image/tmp/in \
    && cp target/*/release/echo /image/

FROM scratch
COPY --from=generator /image/ /
COPY --from=echo /image/echo /
WORKDIR /tmp/out
VOLUME /tmp/out
USER 65532:0
# A generator that hangs makes the container unhealthy. To be set along with a GENERATOR_INTERVAL of more than 3s.
ENV ECHO_FRESH_WITHIN=10s
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=10s --retries=3 CMD ["/echo", "check"]
ENTRYPOINT ["/echo", "--", "/generator"]

ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="appcoup" \
      org.opencontainers.image.description="A generator of numbers and an HTTP server that shows them" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
