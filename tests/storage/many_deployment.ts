/**
 * The bus of deploy/kubernetes as far as it is about storage: three NATS servers with its
 * `max_file_store`, a Brain and a Shield with its `[durable]`. And what each process takes.
 */
import { connect } from "@nats-io/transport-deno";
import { usagesOf } from "../../bench/measure/usage.ts";
import type { Usage } from "../../bench/measure/usage.ts";
import { parseConfig } from "../../shared/config/load.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import { startNatsCluster } from "../harness/nats_cluster.ts";
import type { NatsCluster } from "../harness/nats_cluster.ts";

const FOLDER = new URL("../../deploy/kubernetes/", import.meta.url);
/** As nats.yaml and shield.yaml limit their containers. */
const NATS_BYTES = 2 ** 30;
const SHIELD_BYTES = 2 ** 31;

/** What one process takes. */
export interface Cost {
  readonly name: string;
  readonly rss_bytes: number;
  /** What its container may have. */
  readonly limit_bytes: number;
  /** Of one core, while `at_rest_ms` pass. */
  readonly cpu_share: number;
  readonly open_files: number;
  /** On its disk; of NATS servers. */
  readonly files: number;
  readonly disk_bytes: number;
}

/** A stream of logs. */
export interface LogStream {
  readonly name: string;
  readonly messages: number;
}

/** A running bus. */
export interface ManyDeployment extends AsyncDisposable {
  /** Of WebSockets. */
  readonly url: string;
  readonly cluster: NatsCluster;
  /** What the configuration says. */
  readonly shared_streams: number;
  tokenFor(tenant: string): Promise<string>;
  /** Those of tenants of their own, and those that tenants share. */
  logStreams(): Promise<LogStream[]>;
  /** Of each process that runs, over so long. */
  costs(at_rest_ms: number): Promise<Cost[]>;
}

async function numbersOf(script: string): Promise<number[]> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  return new TextDecoder().decode(stdout).trim().split(/\s+/).map(Number);
}

interface Page {
  readonly total: number;
  readonly streams?:
    | readonly {
      readonly config: { readonly name: string };
      readonly state: { readonly messages: number };
    }[]
    | null;
}

async function logStreams(urls: readonly string[]): Promise<LogStream[]> {
  const connection = await connect({ servers: urls.map((url) => url.replace("nats://", "")) });
  try {
    const found: LogStream[] = [];
    for (const subject of ["log.t.>", "log.s.>"]) {
      for (let offset = 0, total = 1; offset < total;) {
        const question = JSON.stringify({ subject, offset });
        const page = (await connection.request("$JS.API.STREAM.LIST", question)).json<Page>();
        const streams = page.streams ?? [];
        for (const { config, state } of streams) {
          found.push({ name: config.name, messages: state.messages });
        }
        offset += streams.length;
        total = streams.length === 0 ? 0 : page.total;
      }
    }
    return found;
  } finally {
    await connection.close();
  }
}

/** The `[durable]` table, and what NATS has for it, as text of a configuration. */
function storageLines(name: "shield" | "brain"): { text: string; shared_streams: number } {
  const whole = Deno.readTextFileSync(new URL(`${name}.toml`, FOLDER));
  const config = parseConfig(whole, { file: `${name}.toml` });
  const { tenants, log_bytes, shared_streams, shared_bytes, shared_tenant_bytes } = config.durable;
  const durable = { tenants, log_bytes, shared_streams, shared_bytes, shared_tenant_bytes };
  const lines = Object.entries(durable).map(([key, value]) => `${key} = ${value}\n`);
  const storage_bytes = config.nats?.storage_bytes;
  return {
    text: `[durable]\n${lines.join("")}[nats]\nstorage_bytes = ${storage_bytes}\n`,
    shared_streams,
  };
}

/** Starts it; three servers on this machine's one disk. */
export async function manyDeployment(): Promise<ManyDeployment> {
  await using stack = new AsyncDisposableStack();
  const conf = Deno.readTextFileSync(new URL("nats.conf", FOLDER));
  const [, max_file = ""] = /max_file_store: (\w+)/.exec(conf) ?? [];
  const cluster = stack.use(await startNatsCluster("", { max_file }));
  const issuer = stack.use(await createIssuer());
  const urls = `urls = ${JSON.stringify(cluster.urls)}\n`;
  const rooms = '[[rooms]]\nroom = "log-*"\ndurable = true\nhistory_size = 100_000\n';
  const { text, shared_streams } = storageLines("shield");
  const brain = stack.use(
    await startServer("brain", `${storageLines("brain").text}${urls}`, issuer.dir),
  );
  const shield = stack.use(
    await startServer("shield", `${text}${urls}${rooms}${issuer.config}`, issuer.dir),
  );
  const processes = () => [
    ...cluster.members.flatMap((member) => {
      try {
        const { name, pid, store } = member;
        return [{ name: `NATS ${name}`, pid, store, limit_bytes: NATS_BYTES }];
      } catch {
        return []; // It does not run.
      }
    }),
    { name: "Brain", pid: brain.pid, store: undefined, limit_bytes: SHIELD_BYTES },
    { name: "Shield", pid: shield.pid, store: undefined, limit_bytes: SHIELD_BYTES },
  ];
  const owned = stack.move();
  return {
    cluster,
    shared_streams,
    url: `${(shield.ready.url ?? "").replace(/^http/, "ws")}/v1/socket`,
    tokenFor: (tenant_id) => issuer.tokenFor({ tenant_id }),
    logStreams: () => logStreams(cluster.urls),
    costs: async (at_rest_ms) => {
      const all = processes();
      const pids = all.map(({ pid }) => [pid]);
      const before = await usagesOf(pids);
      await new Promise((resolve) => setTimeout(resolve, at_rest_ms));
      const after = await usagesOf(pids);
      return await Promise.all(all.map(async ({ name, pid, store, limit_bytes }, at) => {
        const [one, two] = [before[at] as Usage, after[at] as Usage];
        const [open_files = 0] = await numbersOf(`ls /proc/${pid}/fd | wc -l`);
        const [files = 0, disk_kib = 0] = store === undefined
          ? []
          : await numbersOf(`find ${store} -type f | wc -l; du -sk ${store} | cut -f1`);
        const cpu_share = (two.cpu_seconds - one.cpu_seconds) / ((two.at_ms - one.at_ms) / 1_000);
        const { rss_bytes } = two;
        const disk_bytes = disk_kib * 1_024;
        return { name, rss_bytes, limit_bytes, cpu_share, open_files, files, disk_bytes };
      }));
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
