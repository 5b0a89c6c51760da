/**
 * One soak run from start to verdict: a deployment, the connections of the load generator, visitors, and the results.
 * `main.ts` and the test call it.
 */
import { openLoad } from "../../bench/load/crowd/driver.ts";
import { ownRooms } from "../../bench/load/plans/plan.ts";
import { pace } from "../../shared/testing/pace.ts";
import { until } from "../../shared/testing/until.ts";
import { PresenceClient } from "../peers/presence_client.ts";
import { type Deployment, startDeployment, TENANTS } from "./deployment.ts";
import type { Measured, Row } from "./verdict.ts";

/** What to do. */
export interface SoakPlan {
  readonly seconds: number;
  readonly connections: number;
  /** Messages per second, over all rooms. */
  readonly rate: number;
  /** Client processes. */
  readonly processes: number;
  readonly room_size: number;
  /** Clients per second that connect and disconnect. */
  readonly visits: number;
  /** Number of intervals; each is a row of the table. */
  readonly rows: number;
  /** Lines for `[server]` of the Shield. */
  readonly server_lines?: string;
  /** Do not judge times and memory. */
  readonly counts_only: boolean;
  /** Called with progress, line by line. */
  readonly say: (line: string) => void;
}

/** Payload size of the load, in bytes. */
const SIZE_BYTES = 256;
/** Before each interval. */
const WARM_UP_SECONDS = 0.5;
/** Rooms with presence; one member stays in each. */
const PEOPLE = 8;

/** Half of the rooms are plain, half are durable; each connection subscribes to its room and publishes there. */
function groupsOf({ connections, room_size }: SoakPlan) {
  const tenants = TENANTS.length;
  const half = Math.ceil(connections / 2);
  const rooms = Math.ceil(half / tenants / room_size);
  // The same names in each tenant.
  return ["plain", "log"].map((prefix) => ownRooms(half, prefix, { tenants, rooms }));
}

/** Clients that join a room with presence, publish to one with a schema, and leave; some stay. */
class Visitors implements Disposable {
  readonly #deployment: Deployment;
  readonly #stay: PresenceClient[] = [];
  readonly bugs: string[] = [];
  visits = 0;
  #under_way = 0;

  constructor(deployment: Deployment) {
    this.#deployment = deployment;
  }

  async open(): Promise<void> {
    for (let n = 0; n < PEOPLE; n++) this.#stay.push(await this.#enter(n));
  }

  /** `rate` per second, until aborted. */
  async run(rate: number, signal: AbortSignal): Promise<void> {
    const began_ms = performance.now();
    for (let begun = 0; !signal.aborted;) {
      for (; begun < (performance.now() - began_ms) / 1_000 * rate; begun++) {
        void this.#visit(begun);
      }
      await pace(50);
    }
    await until("the visitors have left", () => this.#under_way === 0);
    for (const one of this.#stay) await one.untilAny(() => one.connections === 1);
  }

  async #enter(n: number): Promise<PresenceClient> {
    const { wire } = this.#deployment.target;
    const client = await PresenceClient.open(wire.url, wire.tokens[n % wire.tokens.length]!);
    const { code, reason } = await client.sub(`people-${n % PEOPLE}`, { presence: true });
    if (code !== 0) throw new Error(`SUB: ${code} ${reason}`);
    return client;
  }

  async #visit(n: number): Promise<void> {
    this.#under_way++;
    try {
      using client = await this.#enter(n);
      client.raw.send({ op: "pub", room: `feed-${n % PEOPLE}`, type: "t", data: { n: 1 }, id: 2 });
      const { code, reason } = await client.answer(2);
      if (code !== 0) throw new Error(`PUB: ${code} ${reason}`);
      this.visits++;
    } catch (error) {
      this.bugs.push(`a visitor: ${error}`);
    } finally {
      this.#under_way--;
    }
  }

  [Symbol.dispose](): void {
    for (const one of this.#stay) one[Symbol.dispose]();
  }
}

function describe({ at_ms, sent, received, latency }: Row): string {
  return `${(at_ms / 60_000).toFixed(1)} min: ${sent} sent, ${received} received, ` +
    `p50 ${latency.p50_ms.toFixed(1)} ms, p99 ${latency.p99_ms.toFixed(1)} ms`;
}

/** Runs everything. Rejects if a process does not start or a client process fails. */
export async function runSoak(plan: SoakPlan): Promise<Measured> {
  const { say, connections, counts_only, processes, rate } = plan;
  await using deployment = await startDeployment(plan.server_lines);
  say("NATS, Brain and Shield are ready, policies and schema in force");
  const crowd = { groups: groupsOf(plan), processes, echo: false };
  await using load = await openLoad(deployment.target, crowd);
  using visitors = new Visitors(deployment);
  await visitors.open();
  const open = await deployment.connections();
  say(`${open} connections are open; the load begins`);
  const wanted = load.connections + PEOPLE;
  const bugs = open === wanted ? [] : [`the Shield counts ${open} connections, not ${wanted}`];
  const leaving = new AbortController();
  const visiting = visitors.run(plan.visits, leaving.signal);
  visiting.catch(() => {});
  const began_ms = performance.now();
  const rows: Row[] = [];
  const seconds = Math.max(1, plan.seconds / plan.rows - WARM_UP_SECONDS);
  for (let row = 0; row < plan.rows; row++) {
    const stretch = { warmup_seconds: WARM_UP_SECONDS, seconds, sizes_bytes: [SIZE_BYTES] };
    const report = await load.run({ ...stretch, pace: { kind: "rate", rate, burst: 1 } });
    const at_ms = performance.now() - began_ms;
    rows.push({ at_ms, ...report, memory: await deployment.memory() });
    say(describe(rows.at(-1)!));
  }
  leaving.abort();
  await visiting;
  bugs.push(...visitors.bugs, ...deployment.bugs(), ...await deployment.refusals());
  return { rows, connections, counts_only, bugs, visits: visitors.visits };
}
