/**
 * Attacks by work that costs more than it seems: filters over worst-case operands, history that is read through them,
 * messages that grow, deltas of repetitive data, timers of reducer rooms, a policy that one user makes fail, batches,
 * large frames that arrive at the same moment. `COSTLY_CONFIG` has the configuration that they need.
 */
import { moduleOf } from "../../brain/reducers/testing/guest_text.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { type Bytes, guest } from "../peers/hostile_bytes.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import type { FrameClient, Order } from "./attacker.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

/** An attack as in `attacks.ts`; it is never refused as a whole. */
interface CostlyAttack {
  readonly name: string;
  readonly says: string;
  begin(
    ground: { readonly bus: TestBus; readonly dir: string },
  ): Promise<{ readonly order: Order }>;
}

/** The rooms that the attacks need; `timers` is the path of `timerModule`. */
export const costlyConfig = (timers: string): string => `
[[reducers]]
name = "timers"
file = "${timers}"
${durableRooms("log-*")}
[[rooms]]
room = "delta-*"
delta = "fossil"
${durableRooms("timers-*", 'reducer = "timers"')}
`;

const frame = (fields: object): string => JSON.stringify(fields);

const FILTERS = 100;
/** Length of the text that a filter searches. */
const OPERAND_CHARACTERS = 2_700;

/** A backtracking engine never finishes here, and an automaton has many states at each character. */
const patternOf = (n: number) => `data.s.matches("(a|aa|aaa){1,20}b${n}$")`;

const filters: CostlyAttack = {
  name: "filters",
  says: `${FILTERS} filters with patterns over messages of ${OPERAND_CHARACTERS} characters`,
  async begin({ bus }) {
    const token = await bus.tokenFor({ tenant: "filters" });
    const listeners = Array.from({ length: FILTERS }, (_none, n): FrameClient => ({
      token,
      first: [frame({ op: "sub", room: "r", filter: patternOf(n), id: 1 })],
    }));
    const data = { s: "a".repeat(OPERAND_CHARACTERS) };
    const frames = [frame({ op: "pub", room: "r", type: "t", data, id: 2 })];
    return {
      order: { kind: "frames", url: bus.url, clients: [...listeners, { token, frames }], rate: 50 },
    };
  },
};

const STORED = 300;

const history: CostlyAttack = {
  name: "history",
  says: `pages of ${STORED} stored messages of 3 KB, read through a filter by four at once`,
  async begin({ bus }) {
    const token = await bus.tokenFor({ tenant: "history" });
    const peer = new HttpPeer(bus.http_url, token);
    const data = { s: "a".repeat(3_000) };
    for (let n = 0; n < STORED; n++) {
      const { status } = await peer.call("POST", "rooms/log-1/messages", { type: "t", data });
      if (status !== 200) throw new Error(`a message is not stored: ${status}`);
    }
    const query = new URLSearchParams({ limit: "1000", filter: patternOf(0) });
    const url = `${bus.http_url}/v1/rooms/log-1/messages?${query}`;
    return { order: { kind: "requests", url, method: "GET", token, at_once: 4 } };
  },
};

/** Messages that grow in parallel, and the size of each before the attack. */
const GROWING = 12;
const BEFORE_CHARACTERS = 60_000;

const growing: CostlyAttack = {
  name: "growing-messages",
  says: `single characters onto ${GROWING} messages of ${BEFORE_CHARACTERS} characters`,
  async begin({ bus }) {
    const token = await bus.tokenFor({ tenant: "growing" });
    const peer = new HttpPeer(bus.http_url, token);
    const command = async (room: string, name: string, data: object) => {
      const { status, body } = await peer.call("POST", `rooms/${room}/commands`, { name, data });
      if (status !== 200) throw new Error(`${name} is refused: ${JSON.stringify(body)}`);
    };
    const clients: FrameClient[] = [];
    for (let n = 0; n < GROWING; n++) {
      const room = `log-${n}`;
      await command(room, "growing.start", { id: "a" });
      await command(room, "growing.append", {
        id: "a",
        seq: 1,
        text: "x".repeat(BEFORE_CHARACTERS),
      });
      const data = { id: "a", seq: 0, text: "y" };
      const piece = frame({ op: "cmd", room, name: "growing.append", data, id: 3 });
      const frames = [piece.replace('"seq":0', '"seq":%n')];
      const listen = frame({ op: "sub", room: `${room}~growing`, id: 1 });
      clients.push({ token, first: [listen], frames, from: 2 });
    }
    return { order: { kind: "frames", url: bus.url, clients, rate: 100 } };
  },
};

/** The worst case for a diff: repetitive data, in a different order each time. */
function repeating(of: string): string {
  return of.repeat(Math.ceil(DELTA_CHARACTERS / of.length)).slice(0, DELTA_CHARACTERS);
}

const DELTA_CHARACTERS = 60_000;

const deltas: CostlyAttack = {
  name: "deltas",
  says: `messages of ${DELTA_CHARACTERS} characters that repeat, as deltas`,
  async begin({ bus }) {
    const token = await bus.tokenFor({ tenant: "deltas" });
    const listen = frame({ op: "sub", room: "delta-1", delta: true, id: 1 });
    const frames = ["ab", "aab", "abcabd", `${"a".repeat(15)}b`].map((of) =>
      frame({ op: "pub", room: "delta-1", type: "t", data: repeating(of), id: 2 })
    );
    const clients = [{ token, first: [listen] }, { token, frames }];
    return { order: { kind: "frames", url: bus.url, clients, rate: 50 } };
  },
};

const TIMER_ROOMS = 141;
const TIMERS = 60;

/** A room where each command sets 60 timers for 10 ms later, and each of those is such a command. */
export function timerModule(): Bytes {
  return moduleOf({
    more: '(data (i32.const 1) "t")',
    apply: `(local $n i32)
      (loop $again
        (i32.store8 (i32.const 0) (i32.add (i32.const 48) (local.get $n)))
        (call $room_schedule (i32.const 0) (i32.const 1)
          (i64.add (call $room_now) (i64.const 10))
          (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const ${TIMERS}))))
      (i32.const 0)`,
  });
}

const timers: CostlyAttack = {
  name: "timers",
  says: `${TIMERS} timers of 10 ms in each of ${TIMER_ROOMS} rooms that are programs`,
  async begin({ bus }) {
    const token = await bus.tokenFor({ tenant: "timers" });
    const first = Array.from(
      { length: TIMER_ROOMS },
      (_none, n) =>
        frame({ op: "cmd", room: `timers-${n}`, name: "room.call", data: { command: "t" }, id: 1 }),
    );
    // The rooms continue on their own; one call per second shows how they answer.
    const frames = first.slice(0, 1);
    return {
      order: { kind: "frames", url: bus.url, clients: [{ token, first, frames }], rate: 1 },
    };
  },
};

/** A policy that fails on text that begins with "b"; the clean tenant `guarded` has it. */
export const FAILS_ON_B: Bytes = guest({
  // A bump allocator that is never reset reaches the memory's end after some thousand messages.
  alloc: "(i32.const 4096)",
  hook: `(if (i32.eq (i32.load8_u (i32.add (call $get_payload) (i32.const 5))) (i32.const 98))
    (then unreachable)) (i32.const 0)`,
});

const breaker: CostlyAttack = {
  name: "breaker",
  says: "a user of a clean tenant makes its policy fail with every message",
  async begin({ bus }) {
    const token = await bus.tokenFor({ tenant: "guarded", user: "mallory" });
    const frames = [frame({ op: "pub", room: "other", type: "t", data: "bad", id: 1 })];
    return { order: { kind: "frames", url: bus.url, clients: [{ token, frames }], rate: 100 } };
  },
};

const SIDE_BY_SIDE = 8;
const BATCH_MESSAGES = 1_000;

const batches: CostlyAttack = {
  name: "batches",
  says: `${SIDE_BY_SIDE} requests side by side, each with ${BATCH_MESSAGES} durable messages`,
  async begin({ bus, dir }) {
    const token = await bus.tokenFor({ tenant: "batches" });
    const messages = Array.from(
      { length: BATCH_MESSAGES },
      (_none, data) => ({ room: "log-b", type: "t", data }),
    );
    const body = { file: `${dir}/batch.json`, type: "application/json" };
    await Deno.writeTextFile(body.file, JSON.stringify({ messages }));
    const url = `${bus.http_url}/v1/messages`;
    return {
      order: { kind: "requests", method: "POST", url, token, at_once: SIDE_BY_SIDE, body },
    };
  },
};

const SENDERS = 50;
/** For a message whose text is costly to read: names that never occurred before. */
const NAMES = 6_000;

const largeFrames: CostlyAttack = {
  name: "large-frames",
  says: `${SENDERS} connections that each send a message of ${NAMES} names at the same moment`,
  async begin({ bus }) {
    const token = await bus.tokenFor({ tenant: "large" });
    const names = Array.from({ length: NAMES }, (_none, n) => [n.toString(16), 1]);
    const data = Object.fromEntries(names);
    const frames = [frame({ op: "pub", room: "r", type: "t", data, id: 1 })];
    const clients = Array.from({ length: SENDERS }, (): FrameClient => ({ token, frames }));
    return { order: { kind: "frames", url: bus.url, clients, rate: 2 } };
  },
};

/** The attacks, in the table's order. */
export const COSTLY_WORK: readonly CostlyAttack[] = [
  filters,
  history,
  growing,
  deltas,
  timers,
  breaker,
  batches,
  largeFrames,
];
