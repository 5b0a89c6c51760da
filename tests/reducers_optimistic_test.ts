/**
 * Optimistic calls: whatever the order of answers and changes, a client shows the room's state and its own pending
 * calls once, and in the end exactly the room's state. The room is a metered module in the Brain's fold, the clients
 * predict with the unmetered module. And everything on a real bus.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { createApplier } from "../arq/reducers/reducer_run.ts";
import { type CommandEntry, emptyRoom, ROOM_BOUNDS } from "../brain/reducers/state/room_state.ts";
import { HOSTILE } from "../brain/reducers/testing/hostile_reducers.ts";
import { moduleOf } from "../brain/reducers/testing/guest_text.ts";
import { meterReducer } from "../wasm/reducer/reducer_check.ts";
import { guess } from "../sdk/typescript/reducers/guest.ts";
import { Rebase } from "../sdk/typescript/reducers/optimistic.ts";
import type { ReducedValue } from "../sdk/typescript/reducers/watched_values.ts";
import { builtReducer } from "../shared/testing/reducers.ts";

interface Call {
  readonly number: number;
  readonly command: string;
  readonly data: string;
}

interface Confirmed {
  readonly version: number;
  readonly changes: ReadonlyMap<string, ReducedValue | undefined>;
}

type Owner = Awaited<ReturnType<typeof createApplier>>;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** A client, and its messages in flight in both directions. */
class Client {
  readonly rebase = new Rebase();
  readonly calls: Call[] = [];
  readonly answers: {
    readonly number: number;
    readonly entry: number;
    readonly visible: boolean;
  }[] = [];
  readonly confirmed: Confirmed[] = [];
  readonly user: string;
  readonly #module: WebAssembly.Module;

  constructor(user: string, module: WebAssembly.Module) {
    this.user = user;
    this.#module = module;
  }

  call(command: string, data: string): void {
    const { user } = this;
    const request = { command, data: encoder.encode(data), id: "", user, role: "user", claims: {} };
    const about = { room: "r", now_ms: 5_000, offset: 1, random: () => 0n };
    const { number } = this.rebase.call((values) =>
      guess({ module: this.#module, fuel_units: 0 }, { ...request, ...about }, values)
    );
    this.calls.push({ number, command, data });
  }

  answer(): void {
    const answer = this.answers.shift();
    if (answer === undefined) return;
    const { number, entry, visible } = answer;
    this.rebase.answered(number, visible ? { entry } : "nothing");
  }

  receive(): void {
    const confirmed = this.confirmed.shift();
    if (confirmed !== undefined) this.rebase.confirmed(confirmed.version, confirmed.changes);
  }

  get shown(): Record<string, unknown> {
    return Object.fromEntries(this.rebase.values);
  }
}

/** The room decides a client's next call; the client and everybody else are notified. */
function order(owner: Owner, client: Client, clients: readonly Client[]): CommandEntry | undefined {
  const call = client.calls.shift();
  if (call === undefined) return undefined;
  const entry: CommandEntry = {
    kind: "command",
    offset: owner.state.offset + 1,
    seed: new Uint8Array(16),
    id: "",
    time_ms: 1_000,
    command: call.command,
    data: encoder.encode(call.data),
    user_id: client.user,
    role: "user",
    claims: {},
  };
  const { outcome: { changes } } = owner.apply(entry);
  const { offset } = entry;
  client.answers.push({ number: call.number, entry: offset, visible: changes.size > 0 });
  if (changes.size === 0) return entry;
  const texts = [...changes].map(([key, value]) =>
    [key, value === null ? undefined : decoder.decode(value)] as const
  );
  for (const one of clients) one.confirmed.push({ version: offset, changes: new Map(texts) });
  return entry;
}

const ownerOf = (bytes: Uint8Array) =>
  createApplier(bytes, {
    room: { room_id: "r", bounds: ROOM_BOUNDS },
    fuel_limit: 10_000,
    memory_limit_pages: 64,
  }, emptyRoom());

function valuesOf({ state }: Owner): Record<string, string> {
  return Object.fromEntries(
    [...state.values.entries()].map(([key, value]) => [key, decoder.decode(value)]),
  );
}

const kinds = fc.constantFrom("call", "call", "order", "order", "answer", "hear", "hear");
const steps = fc.array(fc.tuple(kinds, fc.nat(2), fc.integer({ min: 1, max: 50 })), {
  maxLength: 50,
});

/** Delivers everything in flight. */
function settle(owner: Owner, clients: readonly Client[]): void {
  for (const client of clients) while (order(owner, client, clients) !== undefined);
  for (const client of clients) {
    while (client.confirmed.length > 0) client.receive();
    while (client.answers.length > 0) client.answer();
    assert.equal(client.rebase.pending, 0);
    assert.deepEqual(client.shown, valuesOf(owner));
  }
}

Deno.test("each own call counts once in every moment, and in the end all show what the room has", async () => {
  const bytes = builtReducer("counter");
  const module = await WebAssembly.compile(bytes.slice());
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const owner = await ownerOf(bytes);
      const clients = ["ann", "bob", "cid"].map((user) => new Client(user, module));
      const totals = [0];
      /** The entry of each call of each client; 0: not yet. */
      const made = clients.map((): { amount: number; entry: number }[] => []);
      for (const [kind, at, amount] of all) {
        const client = clients[at]!;
        if (kind === "call") {
          client.call("add", String(amount));
          made[at]!.push({ amount, entry: 0 });
        } else if (kind === "order") {
          const entry = order(owner, client, clients);
          if (entry === undefined) continue;
          made[at]!.find((one) => one.entry === 0)!.entry = entry.offset;
          totals.push(totals.at(-1)! + Number(decoder.decode(entry.data)));
        } else if (kind === "answer") client.answer();
        else client.receive();
        for (const [index, { rebase }] of clients.entries()) {
          const open = made[index]!.filter(({ entry }) => entry === 0 || entry > rebase.version);
          const wanted = open.reduce((sum, one) => sum + one.amount, totals[rebase.version]!);
          assert.equal(Number(rebase.values.get("total") ?? 0), wanted);
        }
      }
      settle(owner, clients);
    }),
    { numRuns: 60 },
  );
});

Deno.test("calls that the room refuses or decides otherwise are put right", async () => {
  const bytes = builtReducer("auction");
  const module = await WebAssembly.compile(bytes.slice());
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const owner = await ownerOf(bytes);
      const clients = ["ann", "bob", "cid"].map((user) => new Client(user, module));
      for (const [kind, at, amount] of all) {
        const client = clients[at]!;
        // All open it: one becomes the seller, and the others' guesses of the end use another clock.
        if (kind === "call") {
          client.call(amount < 10 ? "open" : "bid", amount < 10 ? "60000" : String(amount));
        } else if (kind === "order") order(owner, client, clients);
        else if (kind === "answer") client.answer();
        else client.receive();
      }
      settle(owner, clients);
    }),
    { numRuns: 60 },
  );
});

Deno.test("a module from the bus always ends in a client", async () => {
  const request = {
    command: "do",
    data: encoder.encode(""),
    id: "",
    user: "",
    role: "",
    claims: {},
  };
  const about = { room: "r", now_ms: 5_000, offset: 1, random: () => 0n };
  for (const [name, guest] of HOSTILE) {
    const module = await WebAssembly.compile(meterReducer(moduleOf(guest), 64).bytes);
    const values = new Map<string, ReducedValue>();
    // It must terminate; the guess itself does not matter.
    guess({ module, fuel_units: 5_000_000 }, { ...request, ...about }, values);
    if (name !== "loops") continue;
    assert.equal(guess({ module, fuel_units: 5_000 }, { ...request, ...about }, values), undefined);
  }
});
