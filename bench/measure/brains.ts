/**
 * Brains for benchmarks: `brain/main.ts` as processes on one real NATS, and the figures that they and the
 * server give over HTTP. It asks rooms and presence as a Shield or another Brain would, and starts no Shield.
 */
import { readAck, writeEnvelope } from "@arqon/proto";
import type { Ack, PlainCommand } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { createLogger } from "../../shared/logs/log.ts";
import type { Logger } from "../../shared/logs/log.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import { startServer } from "../../tests/harness/cluster.ts";
import { type NatsServer, startNats } from "../../tests/harness/nats_server.ts";

/** A limit that is reached only when something hangs, or is too slow for any figure here to be useful. */
export const PATIENCE_MS = 120_000;

/** The values of a Prometheus text, by name and labels. */
export class Scrape {
  readonly #values = new Map<string, number>();

  constructor(text: string) {
    for (const line of text.split("\n")) {
      const end = line.lastIndexOf(" ");
      if (!line.startsWith("#") && end > 0) {
        this.#values.set(line.slice(0, end), Number(line.slice(end + 1)));
      }
    }
  }

  /** The sum of all series with that name whose labels contain that text, e.g. `code="0"`; 0 without any. */
  sum(name: string, label = ""): number {
    let sum = 0;
    for (const [series, value] of this.#values) {
      if (series !== name && !series.startsWith(`${name}{`)) continue;
      if (series.includes(label)) sum += value;
    }
    return sum;
  }

  /** The values of a label of the series with that name, in their order. */
  labels(name: string, label: string): string[] {
    const own = [...this.#values.keys()].filter((series) => series.startsWith(`${name}{`));
    return own.flatMap((series) => new RegExp(`${label}="([^"]*)"`).exec(series)?.[1] ?? []);
  }
}

/** A Brain as a process. */
export interface BrainProcess {
  readonly brain_id: string;
  metrics(): Promise<Scrape>;
}

/** A NATS server and the Brains on it. Disposing of it ends them all. */
export interface Brains extends AsyncDisposable {
  readonly nats: NatsServer;
  /** Address of the NATS server's monitoring: `http://host:port`. */
  readonly monitor_url: string;
  readonly brains: readonly BrainProcess[];
  /** A new connection of this process, which is closed with the cluster. */
  openSpine(): Promise<Spine>;
}

/** A logger for this process's own parts, which writes only errors. */
export function errorLog(component: string): Logger {
  const write = (line: string) => void Deno.stderr.writeSync(new TextEncoder().encode(line));
  return createLogger({ level: "error", format: "logfmt", component, now: Date.now, write });
}

/** Resolves when the condition holds; rejects when it never does. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  pause_ms = 5,
): Promise<void> {
  const deadline_ms = performance.now() + PATIENCE_MS;
  while (!await holds()) {
    if (performance.now() > deadline_ms) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pause_ms));
  }
}

/** A Spine on the cluster, as the configuration of a process has it. */
export function openNatsSpine(nats_url: string, component: string): Promise<Spine> {
  const config = configFrom({ nats: { urls: [nats_url] } });
  return openSpine(config, { log: errorLog(component), now: Date.now });
}

async function startBrain(config: string, dir: string, owned: AsyncDisposableStack) {
  const { ready } = owned.use(await startServer("brain", config, dir));
  const { brain_id = "", ops_url = "" } = ready;
  const metrics = async () => {
    const answer = await fetch(`${ops_url}/metrics`);
    return new Scrape(await answer.text());
  };
  return { brain_id, metrics };
}

/**
 * How NATS stores writes: it confirms `each` one after it is on the disk, as `docs/run_nats.md` has it, or
 * syncs them `later`, every two minutes, which is its default.
 */
export type Syncing = "each" | "later";

/** Starts that many Brains. Resolves when each of them knows the others. */
export async function startBrains(count: number, syncing: Syncing = "each"): Promise<Brains> {
  await using starting = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ prefix: "arqon-bench-" });
  starting.defer(() => Deno.remove(dir, { recursive: true }));
  const monitoring = 'http: "127.0.0.1:-1"';
  const nats = starting.use(
    await startNats(
      syncing === "each"
        ? { jetstream: true, config: monitoring }
        : { config: `${monitoring}\njetstream { store_dir: ${JSON.stringify(dir)} }` },
    ),
  );
  const monitor = nats.logTail().match(/http monitor on (\S+)/)?.[1];
  if (monitor === undefined) throw new Error(`no monitoring:\n${nats.logTail()}`);
  const brains: BrainProcess[] = [];
  const settings = `[nats]\nurls = ["${nats.url}"]\n`;
  for (let started = 0; started < count; started++) {
    brains.push(await startBrain(settings, dir, starting));
  }
  for (const brain of brains) {
    const knows = async () => (await brain.metrics()).sum("brain_cluster_brains") === count;
    await until(knows, `${brain.brain_id} knows ${count} Brains`, 50);
  }
  const owned = starting.move();
  return {
    nats,
    monitor_url: `http://${monitor}`,
    brains,
    openSpine: async () => {
      const spine = await openNatsSpine(nats.url, "bench");
      owned.defer(() => spine.drain());
      return spine;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The total of a metric over all Brains. */
export async function total(
  { brains }: Pick<Brains, "brains">,
  name: string,
  label?: string,
): Promise<number> {
  const scrapes = await Promise.all(brains.map((brain) => brain.metrics()));
  return scrapes.reduce((sum, scrape) => sum + scrape.sum(name, label), 0);
}

/** The bytes of a room's command, as a Shield puts them on the Spine. */
export function commandBytes(
  tenant_id: string,
  room_id: string,
  command: Partial<Omit<PlainCommand, "data">> & { readonly data?: unknown },
): Uint8Array {
  const { data, ...fields } = command;
  return writeEnvelope({
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    tenant_id,
    room_id,
    timestamp_ms: Date.now(),
    sender_id: "bench",
    command: {
      content_type: "application/json",
      ...fields,
      ...(data === undefined ? {} : { data: new TextEncoder().encode(JSON.stringify(data)) }),
    },
  });
}

/** The Ack of a command. Throws when the command was refused. */
export function accepted(payload: Uint8Array): Ack {
  const ack = readAck(payload);
  if (ack.code !== 0) throw new Error(`refused: ${ack.code} ${ack.reason}: ${ack.message}`);
  return ack;
}
