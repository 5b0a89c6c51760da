# syntax=docker/dockerfile:1
# The Shield: Deno, our sources and the packages they need on a distroless base. It runs as uid 65532,
# writes nothing (so with a read-only root), and reads /etc/arqon. docs/deploy.md says more.
ARG DENO_VERSION=2.9.6

# On the machine that builds, whatever the target: what it makes is JavaScript, the same for every CPU.
FROM --platform=$BUILDPLATFORM denoland/deno:${DENO_VERSION} AS build
ENV DENO_DIR=/deno-dir DENO_UNSTABLE_NPM_LAZY_CACHING=1
WORKDIR /app
COPY deno.json deno.lock LICENSE NOTICE ./
# The workspace is only whole with a deno.json of every member.
COPY brain/deno.json brain/
COPY arq/deno.json arq/
COPY sdk/typescript/deno.json sdk/typescript/
COPY sdk/react/deno.json sdk/react/
COPY sdk/yjs/deno.json sdk/yjs/
COPY examples/deno.json examples/
COPY examples/capability/deno.json examples/capability/
COPY proto/ proto/
COPY shared/ shared/
COPY shield/ shield/
COPY wasm/ wasm/
COPY deploy/docker/health.ts deploy/docker/
# Threads and the compile child are started by URL and are in no import.
RUN deno cache --frozen shield/main.ts shield/policy/worker/worker.ts shield/policy/modules/meter_thread.ts shield/schema/registry/set_thread.ts shared/watchdog/watch_thread.ts shared/process/parse_thread.ts \
  wasm/instance/compile_child.ts deploy/docker/health.ts \
  && mkdir /etc/arqon
# The console's thread for replays. The bundler and the sources stay out of the image.
COPY arq/replay/ arq/replay/
COPY arq/terminal/exit.ts arq/terminal/
RUN DENO_DIR=/tmp/deno deno bundle --quiet --frozen --minify --platform=browser arq/replay/page_thread.ts \
  --output=shield/admin/console/replay_worker.js \
  && rm -r arq/replay arq/terminal

FROM denoland/deno:bin-${DENO_VERSION} AS deno

FROM gcr.io/distroless/cc-debian12:nonroot
# The pipeline adds what only it knows: source and revision (docs/deploy.md).
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="arqon-shield" \
  org.opencontainers.image.description="ArqonBus Shield: the edge gateway for WebSocket and HTTP clients" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"
COPY --from=deno /deno /usr/local/bin/deno
COPY --from=build /deno-dir /deno-dir
COPY --from=build /app /app
COPY --from=build /etc/arqon /etc/arqon
# For Deno itself; the Shield sees no environment.
ENV DENO_DIR=/deno-dir DENO_UNSTABLE_NPM_LAZY_CACHING=1 DENO_NO_UPDATE_CHECK=1
WORKDIR /app
USER 65532:65532
EXPOSE 4000 4001 4002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/deno", "run", "--no-prompt", "--cached-only", "--allow-net=127.0.0.1", \
  "deploy/docker/health.ts", "http://127.0.0.1:4001/health/live"]
# The flags are those of `deno task shield`; the permissions are narrower.
ENTRYPOINT ["/usr/local/bin/deno", "run", "--no-prompt", "--cached-only", "--frozen", \
  "--v8-flags=--no-wasm-lazy-compilation,--max-semi-space-size=4,--no-allocation-site-pretenuring,--heap-growing-percent=300", \
  "--unstable-worker-options", "--unstable-net", "--unstable-no-legacy-abort", "--ignore-env", \
  "--allow-run=deno", "--allow-net", "--allow-read=/app,/etc/arqon", "shield/main.ts"]
CMD ["--config", "/etc/arqon/shield.toml"]
