/**
 * What durable rooms keep of a Shield's memory after everybody has left them. A whole Shield runs in a process, on
 * a real NATS; its heap is read after a forced collection, before and after so many rooms were published to once.
 */
import { configFrom } from "../../shared/config/load.ts";
import { randomPool } from "../../shared/ids.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { openSpine } from "../../shared/spine/open.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { type Shield, startShield } from "../../shield/server.ts";
import { createIssuer, type Issuer } from "../../tests/harness/cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { errorLog } from "../measure/brains.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { renderTable } from "../measure/table.ts";

/** The plan of the measurement. */
interface IdlePlan {
  readonly rooms: number;
}

/** The memory of the process after a collection. */
interface IdleMemory {
  readonly heap_bytes: number;
  readonly external_bytes: number;
  readonly rss_bytes: number;
}

/** The memory before and after the rooms; the second `after` is after as many more rooms. */
export interface IdleReport extends IdlePlan {
  readonly before: IdleMemory;
  readonly after: IdleMemory;
  readonly twice: IdleMemory;
  /** Rooms whose log the Shield still follows. */
  readonly open_rooms: number;
}

const COLLECTIONS = 4;
const PUBLISHING = 64;
/** Rooms that make compilers and caches warm, before anything counts. */
const WARM_UP_ROOMS = 2_000;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function memory(): Promise<IdleMemory> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("needs --v8-flags=--expose-gc");
  await pause(1_000);
  for (let count = 0; count < COLLECTIONS; count++) {
    gc();
    await pause(50);
  }
  const { heapUsed, external, rss } = Deno.memoryUsage();
  return { heap_bytes: heapUsed, external_bytes: external, rss_bytes: rss };
}

async function open(nats_url: string, issuer: Issuer, owned: AsyncDisposableStack) {
  const config = configFrom({
    nats: { urls: [nats_url] },
    rooms: [{ room: "kept-*", durable: true }],
    auth: {
      issuers: [{
        issuer: "test",
        audience: "arqon",
        pem_file: `${issuer.dir}/public.pem`,
        tenants: ["*"],
        roles: ["user"],
      }],
    },
  });
  const log = errorLog("shield");
  const now = Date.now;
  const registry = createMetrics({ node_id: "bench", version: "0" });
  const spine = await openSpine(config, { log, now });
  owned.defer(() => spine.drain());
  const shield = await startShield({
    capabilities: SHIELD_CAPABILITIES,
    config,
    spine,
    log,
    registry,
    version: "0",
    now,
    random: randomPool((bytes) => crypto.getRandomValues(bytes)),
    monotonic_ms: () => performance.now(),
    overseer_log: log,
    registry_log: log,
    cores: 1,
    onFatal: (detail) => console.error(detail),
    onExhausted: (detail) => console.error(detail),
    readTextFile: (path) => Deno.readTextFileSync(path),
    fetch,
  });
  owned.defer(() => shield.drain());
  return { shield, registry };
}

/** Publishes once to each of the rooms, so many at a time. */
async function publishOnce(shield: Shield, token: string, from: number, rooms: number) {
  let next = from;
  const info = {
    remoteAddr: { transport: "tcp", hostname: "127.0.0.1", port: 1 },
    completed: Promise.resolve(),
  } as Deno.ServeHandlerInfo<Deno.NetAddr>;
  const publish = async () => {
    while (next < from + rooms) {
      const url = `http://shield/v1/rooms/kept-${next++}/messages`;
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const request = new Request(url, { method: "POST", headers, body: '{"type":"t","data":1}' });
      const response = await shield.client(request, info);
      const ack = await response.json();
      if (!(ack.offset > 0)) throw new Error(JSON.stringify(ack));
    }
  };
  await Promise.all(Array.from({ length: PUBLISHING }, publish));
}

async function measure({ rooms }: IdlePlan): Promise<IdleReport> {
  await using owned = new AsyncDisposableStack();
  const issuer = owned.use(await createIssuer());
  const dir = await Deno.makeTempDir({ prefix: "arqon-bench-" });
  owned.defer(() => Deno.remove(dir, { recursive: true }));
  const config = `jetstream { store_dir: ${JSON.stringify(dir)} }`;
  const nats = owned.use(await startNats({ config }));
  const { shield, registry } = await open(nats.url, issuer, owned);
  const token = await issuer.tokenFor();
  await publishOnce(shield, token, 0, WARM_UP_ROOMS);
  const before = await memory();
  await publishOnce(shield, token, WARM_UP_ROOMS, rooms);
  const after = await memory();
  await publishOnce(shield, token, WARM_UP_ROOMS + rooms, rooms);
  const twice = await memory();
  const open_rooms = (await registry.getSingleMetric("shield_log_open_rooms")?.get())?.values[0];
  return { rooms, before, after, twice, open_rooms: open_rooms?.value ?? NaN };
}

const FLAGS = [
  ...["-A", "--unstable-worker-options"],
  "--v8-flags=--expose-gc,--no-wasm-lazy-compilation",
];

/** Measures idle rooms, in a program that may force collections. */
export function measureIdle(plan: IdlePlan): Promise<IdleReport> {
  console.error(`durable: memory after ${plan.rooms} rooms were published to once ...`);
  return measuredBy(import.meta.url, plan, { flags: FLAGS });
}

/** Bytes that a room keeps, on the heap and outside of it; from the second half, when everything is warm. */
export function idleBytes({ rooms, after, twice }: IdleReport): number {
  const bytes = ({ heap_bytes, external_bytes }: IdleMemory) => heap_bytes + external_bytes;
  return (bytes(twice) - bytes(after)) / rooms;
}

/** The table of the three moments, and of what a room keeps. */
export function renderIdle(report: IdleReport): string {
  const { rooms, before, after, twice, open_rooms } = report;
  const moments = [
    { name: "before", ...before },
    { name: `after ${rooms} rooms`, ...after },
    { name: `after ${2 * rooms} rooms`, ...twice },
  ];
  const table = renderTable(moments, [
    ["idle durable rooms", ({ name }) => name],
    ["heap MB", ({ heap_bytes }) => heap_bytes / 1e6, 2],
    ["external MB", ({ external_bytes }) => external_bytes / 1e6, 2],
    ["RSS MB", ({ rss_bytes }) => rss_bytes / 1e6, 2],
  ]);
  const kept = idleBytes(report).toFixed(1);
  return `${table}\nheap and external, a room: ${kept} B; open: ${open_rooms}`;
}

if (import.meta.main) await answer(measure);
