# The operator's image: one binary on distroless, as user 65532. For several architectures:
#   docker buildx build --platform linux/amd64,linux/arm64 -t registry.example.com/developerspace-operator:0.1.0 --push .

# Both stages use Debian 12, so that the binary runs with the C library that it was linked against.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY src src
COPY e2e/Cargo.toml e2e/Cargo.toml
COPY e2e/src e2e/src
RUN cargo build --release --locked --features jemalloc --bin developerspace-operator

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/developerspace-operator /usr/local/bin/developerspace-operator
# A numeric user ID, so that the kubelet can verify that the user is not root.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/developerspace-operator"]
CMD ["run"]
