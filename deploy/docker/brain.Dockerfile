# syntax=docker/dockerfile:1
# The Brain, made as the Shield's image is: distroless, uid 65532, a read-only root will do.
ARG DENO_VERSION=2.9.6

# On the machine that builds, whatever the target: what it makes is JavaScript, the same for every CPU.
FROM --platform=$BUILDPLATFORM denoland/deno:${DENO_VERSION} AS build
ENV DENO_DIR=/deno-dir DENO_UNSTABLE_NPM_LAZY_CACHING=1
WORKDIR /app
COPY deno.json deno.lock LICENSE NOTICE ./
# The workspace is only whole with a deno.json of every member.
COPY shield/deno.json shield/
COPY arq/deno.json arq/
COPY sdk/typescript/deno.json sdk/typescript/
COPY sdk/react/deno.json sdk/react/
COPY sdk/yjs/deno.json sdk/yjs/
COPY examples/deno.json examples/
COPY examples/capability/deno.json examples/capability/
COPY proto/ proto/
COPY shared/ shared/
COPY brain/ brain/
COPY wasm/ wasm/
COPY deploy/docker/health.ts deploy/docker/
# Threads are started by URL and are in no import.
RUN deno cache --frozen brain/main.ts brain/reducers/thread/reducer_thread.ts brain/reducers/thread/compile_thread.ts shared/watchdog/watch_thread.ts shared/process/parse_thread.ts deploy/docker/health.ts \
  && mkdir /etc/arqon

FROM denoland/deno:bin-${DENO_VERSION} AS deno

FROM gcr.io/distroless/cc-debian12:nonroot
# The pipeline adds what only it knows: source and revision (docs/deploy.md).
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="arqon-brain" \
  org.opencontainers.image.description="ArqonBus Brain: presence and the state of rooms" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"
COPY --from=deno /deno /usr/local/bin/deno
COPY --from=build /deno-dir /deno-dir
COPY --from=build /app /app
COPY --from=build /etc/arqon /etc/arqon
# For Deno itself; the Brain sees no environment.
ENV DENO_DIR=/deno-dir DENO_UNSTABLE_NPM_LAZY_CACHING=1 DENO_NO_UPDATE_CHECK=1
WORKDIR /app
USER 65532:65532
EXPOSE 4101 4102
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/deno", "run", "--no-prompt", "--cached-only", "--allow-net=127.0.0.1", \
  "deploy/docker/health.ts", "http://127.0.0.1:4101/health/live"]
# The flags are those of `deno task brain`; the permissions are narrower.
ENTRYPOINT ["/usr/local/bin/deno", "run", "--no-prompt", "--cached-only", "--frozen", \
  "--v8-flags=--no-wasm-lazy-compilation,--max-semi-space-size=4,--no-allocation-site-pretenuring", \
  "--ignore-env", "--allow-net", "--allow-read=/app,/etc/arqon", "brain/main.ts"]
CMD ["--config", "/etc/arqon/brain.toml"]
