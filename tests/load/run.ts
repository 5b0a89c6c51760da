/**
 * One load run from its start to its verdict: several Shields on one machine, far more connections than
 * one process can hold, that come, sit idle, hear broadcasts and are dropped. `main.ts` and the test
 * call it.
 */
import { merged } from "../../bench/measure/histogram.ts";
import type { Latencies } from "../../bench/measure/histogram.ts";
import { pace } from "../../shared/testing/pace.ts";
import { becomes } from "../../shared/testing/until.ts";
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { Issuer, ServerProcess } from "../harness/cluster.ts";
import { errorsIn, samplesOf } from "../harness/server_state.ts";
import { startNats } from "../harness/nats_server.ts";
import { Hand } from "./crew.ts";
import { fileLimit, spreadOver } from "./file_limit.ts";
import type { ClientPlan, Heard, Ready, State, Word } from "./plan.ts";

/** What to do. */
export interface LoadPlan {
  readonly connections: number;
  /** Shields, and as many client processes. */
  readonly processes: number;
  /** One supervised Shield with that many processes on one port, else as many Shields with a port each. */
  readonly one_port: boolean;
  /** Of `[server]` of the Shields; absent: none. */
  readonly server_lines?: string;
  readonly idle_seconds: number;
  readonly broadcasts: number;
  /** Source addresses of each client process. */
  readonly addresses: number;
  /** Hears the progress, line by line. */
  readonly say: (line: string) => void;
}

/** One broadcast to everybody. */
export interface Broadcast {
  readonly heard: number;
  readonly latencies: Latencies;
}

/** What it came to. */
export interface LoadOutcome {
  readonly plan: LoadPlan;
  readonly connected: number;
  readonly connecting_ms: number;
  readonly handshakes: Latencies;
  /** Upgrades that were put off with 503 and came back. */
  readonly put_off: number;
  /** Resident memory of all Shields, bytes: without connections, with all, at the end of idling, after. */
  readonly memory: { before: number; connected: number; idle: number; dropped: number };
  readonly broadcasts: readonly Broadcast[];
  readonly states: readonly State[];
  /** From the drop until every Shield counts none; undefined: never. */
  readonly dropping_ms: number | undefined;
  readonly bugs: readonly string[];
}

const ROOM = "news";
const TENANT = "acme";
const USERS = 50;
const DROP_MS = 120_000;
const IDLE_LINE_MS = 60_000;
/** Everybody is of one tenant. */
const CONFIG = `
[limits]
connections_per_user = 1_000_000
connections_per_tenant = 1_000_000
`;

/** The Shields and what they say of themselves. */
class Shields {
  readonly #all: readonly ServerProcess[];

  constructor(all: readonly ServerProcess[]) {
    this.#all = all;
  }

  get targets(): ClientPlan["targets"] {
    return this.#all.map(({ ready }) => {
      const { hostname, port } = new URL(ready["url"] ?? "");
      return { hostname, port: Number(port) };
    });
  }

  /** A metric, summed over all processes. */
  async sum(name: string): Promise<number> {
    const each = await Promise.all(this.#all.map(async ({ ready }) => {
      return [...await samplesOf(ready["ops_url"])].flatMap(([key, value]) => (
        key === name || key.startsWith(`${name}{`) ? [value] : []
      ));
    }));
    return each.flat().reduce((sum, value) => sum + value, 0);
  }

  memory(): Promise<number> {
    return this.sum("process_resident_memory_bytes");
  }

  bugs(): string[] {
    return this.#all.flatMap((shield) => errorsIn(shield.log()));
  }
}

/** Throws RangeError that says what would be needed when the system cannot hold them. */
export async function assertFits({ connections, processes }: LoadPlan): Promise<void> {
  const { problem } = spreadOver(connections, processes, await fileLimit());
  if (problem !== undefined) throw new RangeError(problem);
}

async function makePlans(
  plan: LoadPlan,
  issuer: Issuer,
  targets: ClientPlan["targets"],
): Promise<ClientPlan[]> {
  const exp = Math.floor(Date.now() / 1_000) + 86_400;
  const users = Array.from({ length: USERS }, (_, user) => `user-${user}`);
  const tokens = await Promise.all(
    users.map((sub) => issuer.tokenFor({ tenant_id: TENANT, sub, exp })),
  );
  const each = Math.floor(plan.connections / plan.processes);
  return Array.from({ length: plan.processes }, (_, index) => ({
    targets,
    tokens,
    connections: index === 0 ? plan.connections - each * (plan.processes - 1) : each,
    local_addresses: Array.from(
      { length: plan.addresses },
      (_, at) => `127.0.${index + 1}.${at + 1}`,
    ),
    room_id: ROOM,
  }));
}

/** All client processes of a run. */
class Hands {
  readonly #hands: readonly Hand[];

  constructor(hands: readonly Hand[]) {
    this.#hands = hands;
  }

  tell(word: Word): void {
    for (const hand of this.#hands) hand.tell(word);
  }

  ready(): Promise<Ready[]> {
    return Promise.all(this.#hands.map((hand) => hand.said<Ready>("ready")));
  }

  async states(): Promise<State[]> {
    this.tell({ word: "tell" });
    return await Promise.all(this.#hands.map((hand) => hand.said<State>("state")));
  }

  async broadcast(sequence: number): Promise<Broadcast> {
    this.#hands[0]?.tell({ word: "broadcast", sequence });
    this.tell({ word: "hear", sequence });
    const all = await Promise.all(this.#hands.map((hand) => hand.said<Heard>("heard")));
    const heard = all.reduce((sum, { count }) => sum + count, 0);
    return { heard, latencies: merged(all.map(({ latencies }) => latencies)) };
  }
}

async function idle(plan: LoadPlan, hands: Hands): Promise<void> {
  const end_ms = performance.now() + plan.idle_seconds * 1_000;
  while (performance.now() < end_ms) {
    await pace(Math.min(IDLE_LINE_MS, end_ms - performance.now()));
    const open = (await hands.states()).reduce((sum, state) => sum + state.open, 0);
    plan.say(`idle: ${open} connections open`);
  }
}

async function drop(hands: Hands, shields: Shields): Promise<number | undefined> {
  const began_ms = performance.now();
  hands.tell({ word: "drop" });
  const isNone = async () => await shields.sum("shield_active_connections") === 0;
  return await becomes(isNone, DROP_MS) ? performance.now() - began_ms : undefined;
}

async function perform(
  plan: LoadPlan,
  shields: Shields,
  hands: Hands,
): Promise<LoadOutcome> {
  const { say } = plan;
  const before = await shields.memory();
  const began_ms = performance.now();
  const ready = await hands.ready();
  const connecting_ms = performance.now() - began_ms;
  const connected = await shields.sum("shield_active_connections");
  const memory = { before, connected: await shields.memory(), idle: 0, dropped: 0 };
  say(`${connected} connections after ${(connecting_ms / 1_000).toFixed(1)} s`);
  await idle(plan, hands);
  memory.idle = await shields.memory();
  const broadcasts: Broadcast[] = [];
  for (let sequence = 1; sequence <= plan.broadcasts; sequence++) {
    broadcasts.push(await hands.broadcast(sequence));
    say(`broadcast ${sequence}: ${broadcasts.at(-1)?.heard} have heard it`);
  }
  const states = await hands.states();
  const dropping_ms = await drop(hands, shields);
  memory.dropped = await shields.memory();
  return {
    plan,
    connected,
    connecting_ms,
    handshakes: merged(ready.map(({ handshakes }) => handshakes)),
    put_off: ready.reduce((sum, { put_off }) => sum + put_off, 0),
    memory,
    broadcasts,
    states,
    dropping_ms,
    bugs: shields.bugs(),
  };
}

/** Runs it all. Rejects with RangeError when the system's limits are too low; see `assertFits`. */
export async function runLoad(plan: LoadPlan): Promise<LoadOutcome> {
  await assertFits(plan);
  await using owned = new AsyncDisposableStack();
  const issuer = owned.use(await createIssuer());
  const nats = owned.use(await startNats({ jetstream: true }));
  const config = `[nats]\nurls = ["${nats.url}"]\n${CONFIG}${issuer.config}`;
  const [servers, args] = plan.one_port
    ? [1, ["--processes", String(plan.processes)]]
    : [plan.processes, []];
  const started = Array.from({ length: servers }, async () => (
    owned.use(await startServer("shield", config, issuer.dir, plan.server_lines, 0, args))
  ));
  const shields = new Shields(await Promise.all(started));
  plan.say(`${plan.processes} Shields are ready`);
  const plans = await makePlans(plan, issuer, shields.targets);
  const hands = plans.map((one) => owned.use(new Hand("tests/load/client_main.ts", one)));
  return await perform(plan, shields, new Hands(hands));
}
