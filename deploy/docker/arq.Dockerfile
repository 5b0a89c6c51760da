# syntax=docker/dockerfile:1
# The command line with both servers in it (`arq serve`), made as the Shield's image is. It may write
# below /data (an embedded bus keeps its state there) and /keys; both are volumes.
ARG DENO_VERSION=2.9.6

# On the machine that builds, whatever the target: what it makes is JavaScript, the same for every CPU.
FROM --platform=$BUILDPLATFORM denoland/deno:${DENO_VERSION} AS build
ENV DENO_DIR=/deno-dir DENO_UNSTABLE_NPM_LAZY_CACHING=1
WORKDIR /app
COPY deno.json deno.lock LICENSE NOTICE ./
# The workspace is only whole with a deno.json of every member.
COPY examples/deno.json examples/
COPY examples/capability/deno.json examples/capability/
COPY proto/ proto/
COPY shared/ shared/
COPY shield/ shield/
COPY wasm/ wasm/
COPY brain/ brain/
COPY sdk/typescript/ sdk/typescript/
COPY sdk/react/deno.json sdk/react/
COPY sdk/yjs/deno.json sdk/yjs/
COPY policies/sdk/ policies/sdk/
COPY policies/reducer_sdk/ policies/reducer_sdk/
COPY policies/compiler/ policies/compiler/
COPY policies/examples/ policies/examples/
COPY arq/ arq/
COPY deploy/docker/*.ts deploy/docker/
# The stack of `arq dev up` comes with every arq.
COPY compose.yaml ./
COPY deploy/compose/ deploy/compose/
COPY deploy/grafana/ deploy/grafana/
COPY deploy/nats/ deploy/nats/
COPY deploy/prometheus/ deploy/prometheus/
# Commands are loaded by name; threads and the compile child are started by URL.
RUN deno cache --frozen arq/*.ts arq/*/*.ts shield/policy/worker/worker.ts shield/policy/modules/meter_thread.ts shield/schema/registry/set_thread.ts shared/watchdog/watch_thread.ts shared/process/parse_thread.ts brain/reducers/thread/reducer_thread.ts brain/reducers/thread/compile_thread.ts \
  wasm/instance/compile_child.ts policies/compiler/*.ts deploy/docker/*.ts \
  && mkdir /etc/arqon /data /keys /issuer \
  && chmod 0700 /data /keys
# The console's thread for replays. The bundler stays out of the image.
RUN DENO_DIR=/tmp/deno deno bundle --quiet --frozen --minify --platform=browser arq/replay/page_thread.ts \
  --output=shield/admin/console/replay_worker.js

FROM denoland/deno:bin-${DENO_VERSION} AS deno

FROM gcr.io/distroless/cc-debian12:nonroot
# The pipeline adds what only it knows: source and revision (docs/deploy.md).
ARG VERSION=0.0.0
LABEL org.opencontainers.image.title="arqon" \
  org.opencontainers.image.description="ArqonBus arq: the command line, with Shield and Brain in one process" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}"
COPY --from=deno /deno /usr/local/bin/deno
COPY --from=build /deno-dir /deno-dir
COPY --from=build /app /app
COPY --from=build /etc/arqon /etc/arqon
# A new volume takes its owner from the folder that it is mounted over.
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build --chown=65532:65532 /keys /keys
COPY --from=build --chown=65532:65532 /issuer /issuer
# For Deno itself, and where `arq` keeps its contexts.
ENV DENO_DIR=/deno-dir DENO_UNSTABLE_NPM_LAZY_CACHING=1 DENO_NO_UPDATE_CHECK=1 HOME=/data
WORKDIR /app
VOLUME ["/data"]
USER 65532:65532
EXPOSE 4000 4001 4002
STOPSIGNAL SIGTERM
# The flags are those of `deno task arq`, so that `arq serve` runs as the servers do.
ENTRYPOINT ["/usr/local/bin/deno", "run", "--no-prompt", "--cached-only", "--frozen", \
  "--v8-flags=--no-wasm-lazy-compilation,--max-semi-space-size=4,--no-allocation-site-pretenuring,--heap-growing-percent=300", \
  "--unstable-worker-options", "--unstable-net", "--unstable-no-legacy-abort", \
  "--unstable-lazy-dynamic-imports", "--ignore-env", "--allow-run=deno", "--allow-net", "--allow-read", "--allow-sys=statfs", \
  "--allow-write=/data,/keys,/tmp", \
  "--allow-env=INIT_CWD,CI,NO_COLOR,HOME,XDG_CONFIG_HOME,APPDATA,ARQON_CALLED_AS,npm_command", "arq/main.ts"]
CMD ["--help"]
