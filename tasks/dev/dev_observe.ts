/**
 * Runs this machine's Prometheus beside a bus, for `deno task dev --observe` and a test. It downloads nothing, and
 * reports if there is no Prometheus.
 */
import { join } from "node:path";
import { run } from "../checkout/programs.ts";
import { StreamedCommand } from "../checkout/streamed_command.ts";

interface PrometheusOptions {
  /** Folder of its configuration and data. It is created first, and deleted after Prometheus has ended. */
  readonly folder: string;
  readonly config: string;
  /** Port on 127.0.0.1; 0 picks a free one. */
  readonly port: number;
}

/** A Prometheus that is ready for queries. */
export interface Prometheus {
  readonly url: string;
  /** Ends Prometheus, and resolves after its folder is deleted. */
  stop(): Promise<void>;
}

const READY_MS = 30_000;
const LOG_CHARS = 4_000;

/**
 * The shell ends Prometheus when its own stdin ends, so that Prometheus never outlives its parent process, even a
 * killed one. Ctrl-C goes to the whole terminal and is ignored here.
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

/** The configuration for one bus with one metrics page. `root` is the checkout. */
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

/**
 * Starts Prometheus and waits until it is ready; undefined if it is not installed. Rejects with the end of its log if
 * it does not start, for example because the port is in use.
 */
export async function startPrometheus(
  { folder, config, port }: PrometheusOptions,
): Promise<Prometheus | undefined> {
  const installed = await run("sh", ["-c", "command -v prometheus"]);
  if (installed?.ok !== true) return undefined;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/prometheus.yml`, config);
  const command = StreamedCommand.start(
    [
      ...["sh", "-c", SCRIPT, "prometheus", folder],
      `--config.file=${folder}/prometheus.yml`,
      `--storage.tsdb.path=${folder}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdin: "piped", stdout: "null" },
    LOG_CHARS,
  );
  const stop = async () => {
    await command.child.stdin.close().catch(() => {});
    await Promise.all([command.child.status, command.ended]);
  };
  let listens: string | undefined;
  const is_ready = await command.shows((log) => {
    // The line with the port precedes the line of readiness; at that time both are among the last lines.
    listens = /msg="Listening on" address=\S*:(\d+)/.exec(log)?.[1];
    return listens !== undefined && log.includes("Server is ready");
  }, READY_MS);
  if (is_ready) return { url: `http://127.0.0.1:${listens}`, stop };
  const has_ended = await command.endsWithin(0);
  await stop();
  throw new Error(has_ended ? `Prometheus has ended:\n${command.text}` : "Prometheus is not ready");
}
