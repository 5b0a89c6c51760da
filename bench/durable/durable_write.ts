/**
 * Durable publishes: a Shield (process) on NATS and its clients take turns with a bare JetStream publisher on the same
 * servers, whose stream has the same configuration.
 */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { createIssuer, startServer } from "../../tests/harness/cluster.ts";
import { startNatsCluster } from "../../tests/harness/nats_cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import type { Effort } from "../measure/parts.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { median, medianOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { bareTarget, keepBusyFor, type PublishTarget, shieldTarget } from "./durable_publishers.ts";

/**
 * How NATS stores writes. `each`: it confirms each write after it is on the disk, as in `docs/run_nats.md`. `later`: it
 * syncs every two minutes, which is its default.
 */
type Syncing = "each" | "later";

interface WritePlan {
  /** One server, or three with as many copies. */
  readonly servers: 1 | 3;
  readonly syncing: Syncing;
  readonly rounds: number;
  readonly seconds: number;
  readonly rooms: readonly number[];
}

interface WriteRound {
  readonly row: string;
  readonly rooms: number;
  readonly who: "shield" | "bare";
  readonly publishes_per_s: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
}

/** The results of all rounds. */
export interface WriteReport {
  readonly plan: WritePlan;
  /** Size of a message as the Shield stores it. */
  readonly stored_bytes: number;
  /** Copies of the Shield's stream, and so of the bare one, as the server reports them. */
  readonly replicas: number;
  readonly rounds: readonly WriteRound[];
}

const TENANT = "acme";
const CONNECTIONS = 8;
/** The number of messages that wait for their acknowledgement at a time. */
const OUTSTANDING = 256;
const BODY_BYTES = 256;
const WARM_UP_SECONDS = 1;
const BARE = "BENCH_BARE";
const FIRST = "kept-first";
/** A limit so low that one room and ten rooms are full after the warm-up, and each message removes another. */
const HISTORY_SIZE = 100;

type Who = WriteRound["who"];
type Row = Pick<WriteRound, "who" | "rooms">;
type Targets = Readonly<Record<Who, PublishTarget>>;

async function startServers({ servers, syncing }: WritePlan, owned: AsyncDisposableStack) {
  if (servers === 3) {
    const cluster = owned.use(await startNatsCluster());
    return cluster.urls;
  }
  if (syncing === "each") return [owned.use(await startNats({ jetstream: true })).url];
  const dir = await Deno.makeTempDir({ prefix: "arqon-bench-" });
  owned.defer(() => Deno.remove(dir, { recursive: true }));
  const config = `jetstream { store_dir: ${JSON.stringify(dir)} }`;
  return [owned.use(await startNats({ config })).url];
}

function shieldConfig(urls: readonly string[], issuer: string): string {
  return `
[nats]
urls = ${JSON.stringify(urls)}
[limits]
messages_per_second = 1_000_000
bytes_per_second = 1_000_000_000
[[rooms]]
room = "kept-*"
durable = true
history_size = ${HISTORY_SIZE}
${issuer}`;
}

/** A stream like the Shield's, with its own subjects and destination. */
async function copyStream(manager: JetStreamManager) {
  const pattern = `log.t.${TENANT}.r.*`;
  const name = await manager.streams.find(pattern);
  const { config } = await manager.streams.info(name);
  const republish = { src: "bench.log.*", dest: "bench.in.{{wildcard(1)}}" };
  const subjects = ["bench.log.*"];
  await manager.streams.add({ ...config, name: BARE, subjects, republish, metadata: {} });
  const stored = await manager.streams.getMessage(name, {
    last_by_subj: `log.t.${TENANT}.r.${FIRST}`,
  });
  if (stored === null) throw new Error("the Shield has stored nothing");
  return { payload: stored.data, replicas: config.num_replicas };
}

const roomOf = (rooms: number, index: number) => `kept-${rooms}-${index % rooms}`;

/** Publishes `OUTSTANDING` messages at a time. Each worker uses its rooms in turn. */
async function round(
  who: Who,
  target: PublishTarget,
  rooms: number,
  plan: Pick<WritePlan, "seconds">,
): Promise<WriteRound> {
  const publishers = await Promise.all(Array.from({ length: CONNECTIONS }, target.open));
  const body = new Uint8Array(BODY_BYTES);
  let sent = 0;
  const publish = async (worker: number) =>
    await publishers[worker % CONNECTIONS]?.publish(roomOf(rooms, sent++), body);
  const { commands_per_s, p50_ms, p99_ms } = await keepBusyFor(plan.seconds, OUTSTANDING, publish);
  for (const publisher of publishers) publisher.close();
  return { row: target.name, rooms, who, publishes_per_s: commands_per_s, p50_ms, p99_ms };
}

async function measureAll(plan: WritePlan, targets: Targets): Promise<WriteRound[]> {
  // The speed at which NATS writes changes from second to second. So the two measurements of a pair follow
  // each other, and their order changes with each round.
  const pairs = plan.rooms.map((rooms) =>
    (["shield", "bare"] as const).map((who): Row => ({ who, rooms }))
  );
  const warm = { ...plan, seconds: WARM_UP_SECONDS };
  const rounds: WriteRound[] = [];
  for (let count = 0; count <= plan.rounds; count++) {
    const ordered = pairs.flatMap((pair) => count % 2 === 0 ? pair.toReversed() : pair);
    for (const { who, rooms } of ordered) {
      const result = await round(who, targets[who], rooms, count === 0 ? warm : plan);
      if (count > 0) rounds.push(result);
    }
  }
  return rounds;
}

async function measure(plan: WritePlan): Promise<WriteReport> {
  await using owned = new AsyncDisposableStack();
  const issuer = owned.use(await createIssuer());
  const urls = await startServers(plan, owned);
  const config = shieldConfig(urls, issuer.config);
  const { socket_url } = owned.use(await startServer("shield", config, issuer.dir));
  const token = await issuer.tokenFor({ tenant_id: TENANT });
  const shield = shieldTarget("Shield", socket_url, token);
  const first = await shield.open();
  await first.publish(FIRST, new Uint8Array(BODY_BYTES));
  first.close();
  const connection = await connect({ servers: urls.map((one) => one.replace("nats://", "")) });
  owned.defer(() => connection.close());
  const { payload, replicas } = await copyStream(await jetstreamManager(connection));
  const targets: Targets = {
    shield,
    bare: bareTarget("bare JetStream", connection, (room) => `bench.log.${room}`, payload),
  };
  const rounds = await measureAll(plan, targets);
  return { plan, stored_bytes: payload.length, replicas, rounds };
}

type Setting = Omit<WritePlan, "rounds" | "seconds">;

/** Settings with one server, one for each way of storing. */
export const ALONE: readonly Setting[] = [
  { servers: 1, syncing: "later", rooms: [1, 10, 1_000] },
  { servers: 1, syncing: "each", rooms: [1, 10, 1_000] },
];

/** Settings with three servers that each have a copy. */
export const CLUSTER: readonly Setting[] = [{ servers: 3, syncing: "each", rooms: [10] }];

const SYNCING: Readonly<Record<Syncing, string>> = {
  each: "sync_interval: always",
  later: "syncs later",
};

/** Measures every setting, one after another. */
export async function measureWrites(
  settings: readonly Setting[],
  effort: Effort,
): Promise<WriteReport[]> {
  const reports: WriteReport[] = [];
  for (const setting of settings) {
    const { servers, syncing } = setting;
    console.error(`durable: publishes, ${servers} NATS, ${SYNCING[syncing]} ...`);
    reports.push(await measuredBy(import.meta.url, { ...setting, ...effort }));
  }
  return reports;
}

/** The share of the bare publisher's pace that a Shield reached, from each round's own pair. */
interface Share {
  readonly rooms: number;
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** The shares of a report, by number of rooms. */
export function shares({ plan, rounds }: WriteReport): Share[] {
  return plan.rooms.map((rooms) => {
    const [shield, bare] = (["shield", "bare"] as const).map((who) =>
      rounds.filter((round) => round.who === who && round.rooms === rooms)
    ) as [WriteRound[], WriteRound[]];
    const ratios = shield.map(({ publishes_per_s }, index) =>
      publishes_per_s / (bare[index]?.publishes_per_s ?? NaN)
    );
    return { rooms, median: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
  });
}

/** The name of a setting, for tables and aims. */
export function nameOf({ plan: { servers, syncing }, replicas }: WriteReport): string {
  const how = SYNCING[syncing];
  return `${servers} NATS, ${replicas} ${replicas === 1 ? "copy" : "copies"}, ${how}`;
}

function renderPace(report: WriteReport): string {
  const kinds = Map.groupBy(report.rounds, ({ who, rooms }) => `${who} ${rooms}`);
  const found = shares(report);
  const share = (key: "median" | "least" | "most") => ([one]: readonly WriteRound[]) => {
    const value = found.find(({ rooms }) => rooms === one!.rooms)?.[key];
    return one!.who !== "shield" || value === undefined ? "" : `${(value * 100).toFixed(0)} %`;
  };
  const rows = [...kinds.values()].sort(([a], [b]) => a!.rooms - b!.rooms);
  return renderTable(rows, [
    [nameOf(report), ([one]) => `${one!.row}, ${OUTSTANDING} under way`],
    ["rooms", ([one]) => one!.rooms],
    ["/s", (mine) => medianOf(mine, "publishes_per_s")],
    ["of bare", share("median")],
    ["least", share("least")],
    ["most", share("most")],
    ["p50 ms", (mine) => medianOf(mine, "p50_ms"), 1],
    ["p99 ms", (mine) => medianOf(mine, "p99_ms"), 1],
  ]);
}

/** The tables of the reports. */
export function renderWrites(reports: readonly WriteReport[]): string {
  return reports.map(renderPace).join("\n\n");
}

if (import.meta.main) await answer(measure);
