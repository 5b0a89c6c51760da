/**
 * A Prometheus of this machine beside a bus: `deno task dev --observe` and a test start the real one
 * with this. It downloads nothing, and where there is none it says so.
 */
import { join } from "node:path";

/** What one Prometheus is started with. */
export interface PrometheusOptions {
  /** Made, holds configuration and data, and is removed when Prometheus has ended. */
  readonly folder: string;
  /** Text of prometheus.yml. */
  readonly config: string;
  /** On 127.0.0.1; 0 picks a free one. */
  readonly port: number;
}

/** A Prometheus that is ready. */
export interface Prometheus {
  readonly url: string;
  /** Ends it and resolves when its folder is gone. */
  stop(): Promise<void>;
}

const READY_MS = 30_000;
const LOG_CHARS = 4_000;

/**
 * Prometheus must not outlive whoever started it, even one that was killed: it is ended when the
 * shell's stdin is. A Ctrl-C, which the whole terminal gets, is left to that as well.
 */
const SCRIPT = `trap "" INT
folder=$1; shift
exec 3<&0
prometheus "$@" 3<&- &
pid=$!
(cat <&3; kill "$pid") >/dev/null 2>&1 &
exec 3<&-
wait "$pid"
rm -rf "$folder"`;

/** Configuration for one bus with one page of metrics; `root` is the checkout. */
export function devPrometheusConfig(root: string, ops_url: string): string {
  const rules = ["rules.yml", "alerts.yml"].map((name) => join(root, "deploy/prometheus", name));
  return `# Made by deno task dev --observe.
global: { scrape_interval: 2s, evaluation_interval: 2s }
rule_files: ${JSON.stringify(rules)}
scrape_configs:
  - job_name: arqon-dev
    static_configs: [{ targets: [${JSON.stringify(new URL(ops_url).host)}] }]
`;
}

/** Whether there is a `prometheus` on the PATH. */
async function isInstalled(): Promise<boolean> {
  const { success } = await new Deno.Command("sh", {
    args: ["-c", "command -v prometheus"],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

/** Reads the log to its end; tells the port once it is ready. */
async function readLog(
  stderr: ReadableStream<Uint8Array<ArrayBuffer>>,
  onReady: (port: number) => void,
) {
  let log = "";
  let is_told = false;
  for await (const text of stderr.pipeThrough(new TextDecoderStream())) {
    log = (log + text).slice(-LOG_CHARS);
    // The port stands in an earlier line than the readiness; both are among the last ones then.
    const port = log.match(/msg="Listening on" address=\S*:(\d+)/)?.[1];
    if (is_told || port === undefined || !log.includes("Server is ready")) continue;
    is_told = true;
    onReady(Number(port));
  }
  return log;
}

/**
 * Starts Prometheus and waits until it is ready. Undefined when none is installed. Rejects with the
 * end of its log when it does not come up, for example because the port is taken.
 */
export async function startPrometheus(
  { folder, config, port }: PrometheusOptions,
): Promise<Prometheus | undefined> {
  if (!await isInstalled()) return undefined;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/prometheus.yml`, config);
  const child = new Deno.Command("sh", {
    args: [
      ...["-c", SCRIPT, "prometheus", folder],
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const { promise: ready, resolve, reject } = Promise.withResolvers<number>();
  const log = readLog(child.stderr, resolve);
  log.then((text) => reject(new Error(`Prometheus has ended:\n${text}`)));
  const stop = async () => {
    await child.stdin.close().catch(() => {});
    await Promise.all([child.status, log]);
  };
  const timer = setTimeout(() => reject(new Error("Prometheus is not ready")), READY_MS);
  try {
    return { url: `http://127.0.0.1:${await ready}`, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
