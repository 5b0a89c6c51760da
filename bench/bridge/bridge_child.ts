/**
 * The program of `deno task bench bridge`: a PostgreSQL, a bus and a bridge between them, and one client that times
 * when what it commits comes back. The same transaction notifies a bare `LISTEN`, so that both are of one commit.
 */
import pg from "pg";
import { connect } from "@arqon/sdk";
import { tokenOf } from "../../tests/harness/serve_bus.ts";
import { openWorld, startBridge } from "../../tests/bridge/world.ts";
import type { World } from "../../tests/bridge/world.ts";
import { Latencies } from "../measure/histogram.ts";
import type { Latency } from "../measure/histogram.ts";

/** What is to be measured. */
export interface BridgePlan {
  /** Transactions of each row. */
  readonly transactions: number;
  readonly poll_ms: number;
}

/** One way from a commit to a client. */
export interface BridgeRow {
  readonly reading: "replication" | "polling";
  readonly room: "durable" | "plain";
  /** By the bus. */
  readonly bus: Latency;
  /** By `LISTEN` and `NOTIFY`, of the same commits. */
  readonly notify: Latency;
}

const ROOMS = { durable: "orders-0", plain: "quotes" } as const;
/** Before they are counted. */
const WARM_UP = 20;
const PAUSE_MS = 20;

/** Resolves a promise for each number that comes. */
class Arrivals {
  #wanted = -1;
  #came = Promise.withResolvers<number>();

  next(n: number): Promise<number> {
    this.#wanted = n;
    this.#came = Promise.withResolvers();
    return this.#came.promise;
  }

  came(n: number): void {
    if (n === this.#wanted) this.#came.resolve(performance.now());
  }
}

async function measure(
  { database, url }: World,
  token: string,
  room: string,
  { transactions, poll_ms }: BridgePlan,
): Promise<Pick<BridgeRow, "bus" | "notify">> {
  const [writer, listener] = [new pg.Client(database.url), new pg.Client(database.url)];
  await Promise.all([writer.connect(), listener.connect()]);
  await using bus = await connect({ url, token });
  const [heard, notified] = [new Arrivals(), new Arrivals()];
  const reading = bus.room(room).listen((message) => {
    if (message.signal === undefined) heard.came((message.json() as { n: number }).n);
  });
  await reading.ready;
  listener.on("notification", ({ payload }: { payload: string }) => notified.came(Number(payload)));
  await listener.query("listen bench");
  const [by_bus, by_notify] = [new Latencies(), new Latencies()];
  for (let n = 0; n < WARM_UP + transactions; n++) {
    const both = [heard.next(n), notified.next(n)];
    await writer.query("begin");
    await writer.query(`select arqon.publish('${room}', 'bench', '{"n":${n}}')`);
    await writer.query(`notify bench, '${n}'`);
    const began_ms = performance.now();
    await writer.query("commit");
    const [bus_ms = 0, notify_ms = 0] = await Promise.all(both);
    if (n >= WARM_UP) {
      by_bus.add(bus_ms - began_ms);
      by_notify.add(notify_ms - began_ms);
    }
    // At no fixed time between two polls.
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS + Math.random() * poll_ms));
  }
  reading.close();
  await Promise.all([writer.end(), listener.end()]);
  return { bus: by_bus.figures(), notify: by_notify.figures() };
}

async function run(plan: BridgePlan): Promise<BridgeRow[]> {
  await using world = await openWorld();
  if (world === undefined) throw new Error("there is no PostgreSQL: apt-get install postgresql");
  const token = await tokenOf(world.folder, "user");
  const rows: BridgeRow[] = [];
  for (const reading of ["replication", "polling"] as const) {
    const more = reading === "polling" ? ["--poll", String(plan.poll_ms)] : [];
    const bridge = await startBridge(world.folder, world.database.url, world.url, more);
    await bridge.says("following");
    for (const room of ["durable", "plain"] as const) {
      rows.push({ reading, room, ...await measure(world, token, ROOMS[room], plan) });
    }
    await bridge.stop();
  }
  return rows;
}

if (import.meta.main) {
  console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? "{}"))));
  Deno.exit(0);
}
