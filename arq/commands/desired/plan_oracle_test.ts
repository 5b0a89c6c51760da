/** What `arq plan --since` says of a setup, compared with a second bus that really ran it on the same messages. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { startLocalBus, type TestBus } from "../../../tests/harness/local_bus.ts";
import { PATIENT_POLICIES } from "../../../tests/harness/patient_policies.ts";
import { answered, openText, type RawClient } from "../../../tests/peers/raw_client.ts";
import { TenantRoomClass } from "../../../shared/config/schema_durable.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { until } from "../../../shared/testing/until.ts";
import { Admin } from "../../bus/admin.ts";
import { differences, type State } from "../../desired/form.ts";
import {
  addsPlan,
  latches,
  limits,
  refusesFrom,
  saysHello,
  wantsHeader,
} from "../../replay/testing/guest_text.ts";
import { builtModule } from "../../replay/testing/recorded.ts";
import { diskIo } from "../../testing/disk_io.ts";
import { ping } from "../../../shield/schema/testing/schemas.ts";
import { type Consequences, consequences, consequencesText } from "./consequences.ts";
import { readLive, statePath } from "./live_state.ts";

const CONFIG = `
[journal]
journal = "all"
#constant journal.journal_payload = "keep"
#constant journal.flush_ms = 20
#constant limits.admin_requests_per_second = 100_000
#constant limits.admin_changes_per_second = 100_000
[admin]
operator_tenants = ["default"]
${PATIENT_POLICIES}`;
const TRIALS = Number(Deno.env.get("TRIALS") ?? 22);
const SEED = Number(Deno.env.get("SEED") ?? 77);
/** The configuration maps a room of every second tenant, and wants signatures in another one. */
const mapped = (_: unknown, at: number) => `
[[platform.registry.mappings]]
subject = "in.t.t${at * 2 + 1}.r.lobby"
schema_id = "conf"
message = "t.Ping"
`;
const SIGNED = '[auth]\nrequire_signature = [{ role = "user", room = "sealed" }]\n';
const MAPPED = CONFIG + SIGNED + Array.from({ length: TRIALS / 2 }, mapped).join("");
/** What a journal may lack; never a rule of the configuration. */
const INPUT = /^(?:payload|share of an erased sender|(?:header|claim|state|module) .+)$/;

const bytes = await Promise.all([
  builtModule("bad_words"),
  builtModule("mask_digits"),
  builtModule("rate_limit"),
  refusesFrom(12),
  limits(3),
  limits(5, "{room}"),
  limits(2, "{header.x-plan}"),
  addsPlan(),
  wantsHeader(),
  latches(20),
  saysHello(),
]);
const entering = await limits(2, "{room}", "on_subscribe");
const ENTERING = await sha256Hex(entering);
const MODULES = new Map(
  await Promise.all(
    [...bytes, entering].map(async (one) => [await sha256Hex(one), one] as const),
  ),
);

const modules = fc.constantFrom(...MODULES.keys());
const policies = fc.uniqueArray(
  fc.record({
    // As a rollout of `a` has it.
    name: fc.constantFrom("a", "a~new", "b", "c", "d"),
    sha256: modules,
    room: fc.constantFrom("*", "chat-*", "chat-1", "lobby"),
    hooks: fc.constant(["on_message"]),
    order: fc.integer({ min: 0, max: 2 }),
    mode: fc.constantFrom("enforce", "enforce", "observe"),
    percent: fc.constantFrom(1, 1, 0.5, 0),
  }),
  { selector: ({ name }) => name, maxLength: 5 },
).map((all) =>
  all.map((one) =>
    // Connections have other ids, and so other shares, on each bus.
    one.sha256 === ENTERING
      ? { ...one, hooks: ["on_subscribe"], percent: Math.ceil(one.percent) }
      : one
  )
);
interface Mapping {
  readonly room: string;
  readonly mode: "enforce" | "dead-letter" | "observe";
}
const mappings = fc.uniqueArray(
  fc.record<Mapping>({
    room: fc.constantFrom("*", "chat-*", "chat-1"),
    mode: fc.constantFrom("enforce" as const, "dead-letter" as const, "observe" as const),
  }),
  { selector: ({ room }) => room, maxLength: 2 },
);
const signed = fc.subarray(["chat-2", "lobby"], { maxLength: 1 }).map((rooms) =>
  rooms.map((room) => ({ role: "user" as const, room }))
);
/** How the journal has payloads of a durable room. */
const payload = fc.constantFrom("keep" as const, "reference" as const, "hash" as const);
const setups = fc.record({
  policies,
  // Half of all setups have neither.
  mappings: fc.oneof(fc.constant<Mapping[]>([]), mappings),
  require_signature: fc.oneof(fc.constant([]), signed),
});
type Setup = typeof setups extends fc.Arbitrary<infer One> ? One : never;

const stateOf = (
  tenant: string,
  { mappings, ...more }: Setup,
  journal_payload: "keep" | "reference" | "hash",
): Partial<State> => ({
  ...more,
  rooms: [
    TenantRoomClass.parse({ room: "chat-2", durable: true, history_size: 1_000, journal_payload }),
  ],
  mappings: mappings.map(({ room, mode }) => ({
    subject: `in.t.${tenant}.r.${room}`,
    schema_id: "ping",
    message: "t.Ping",
    mode,
    unknown_fields: "allow",
  })),
});

const message = fc.record({
  user: fc.constantFrom("ann", "bob"),
  room: fc.constantFrom("chat-1", "chat-2", "lobby", "sealed"),
  data: fc.constantFrom("tea", "malware", "call 0151", "4711", "a much longer text", { n: 4711 }, {
    n: 1,
  }),
  trace: fc.integer({ min: 1, max: 2 ** 31 }),
  has_plan: fc.boolean(),
  schema_id: fc.constantFrom(undefined, undefined, "ping", "conf"),
  via: fc.constantFrom("socket", "socket", "command", "http", "batch", "subscribe"),
});

/** A bus with its clients and its admin. */
interface Place {
  readonly bus: TestBus;
  readonly admin: Admin;
}

async function placeOn(bus: TestBus): Promise<Place> {
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  return { bus, admin: new Admin(diskIo("/"), bus.admin_url, token) };
}

async function put({ admin }: Place, tenant: string, state: Partial<State>): Promise<void> {
  for (const { sha256 } of state.policies ?? []) {
    const body = MODULES.get(sha256)!;
    const path = "/v1/policies/modules";
    await admin.ask({ method: "PUT", path, body, content_type: "application/wasm" });
  }
  const { basis } = await readLive(admin, tenant);
  const body = JSON.stringify({ basis, ...state });
  await admin.ask({ method: "PUT", path: statePath(tenant), body });
}

type Message = typeof message extends fc.Arbitrary<infer One> ? One : never;

/** Whether each message is admitted. */
async function sent({ bus }: Place, tenant: string, messages: readonly Message[]) {
  const clients = new Map<string, RawClient>();
  const codes: boolean[] = [];
  for (const [index, { user, room, data, trace, has_plan, schema_id, via }] of messages.entries()) {
    const client = clients.get(user) ??
      await openText(bus.url, await bus.tokenFor({ tenant, user }));
    clients.set(user, client);
    const traceparent = `00-${trace.toString(16).padStart(32, "0")}-${"1".repeat(16)}-01`;
    const headers = { traceparent, ...has_plan && { "x-plan": "gold" } };
    if (via === "http" || via === "batch") {
      const message = { type: "chat", data, schema_id, headers };
      const [path, body] = via === "http"
        ? [`/v1/rooms/${room}/messages`, message]
        : ["/v1/messages", { messages: [{ ...message, room }] }];
      const response = await fetch(bus.http_url + path, {
        method: "POST",
        headers: {
          authorization: `Bearer ${await bus.tokenFor({ tenant, user })}`,
          "content-type": "application/json",
        },
        body: JSON.stringify(body),
      });
      const { code, results } = await response.json();
      codes.push((results?.[0]?.code ?? code) === 0);
      continue;
    }
    const id = index + 1;
    const asked = {
      socket: { op: "pub", data, schema_id, headers },
      command: { op: "cmd", name: "room.set", data: { key: "k", value: data }, headers },
      subscribe: { op: "sub" },
    }[via];
    const { code, reason } = await answered(client, { ...asked, room, id });
    if (via === "subscribe" && code === 0) await answered(client, { op: "unsub", room, id });
    // A Brain may refuse a command that the Shield has admitted.
    codes.push(code === 0 || !/^(?:policy|schema|signature)-/.test(reason));
  }
  for (const client of clients.values()) client[Symbol.dispose]();
  return codes;
}

/** What a plan says of the whole window, once the journal has these operations. */
async function planned(
  { admin }: Place,
  tenant: string,
  state: Partial<State>,
  operations: number,
): Promise<Consequences> {
  const live = await readLive(admin, tenant, ["ping"]);
  const changes = differences(live.state, state as State);
  const sets = new Map<string, Uint8Array>();
  const desired = { tenant, state: state as State, modules: MODULES, sets, warnings: [] };
  let found: Consequences | undefined;
  await until("the journal has all", async () => {
    found = await consequences(admin, desired, { changes, live }, 3_600);
    return found.messages === null || found.messages.operations >= operations;
  });
  return found!;
}

let trials = 0;

Deno.test("a plan says of each setup what a bus with it really decides", async () => {
  let now_ms = Date.now();
  const now = () => now_ms;
  await using old_bus = await startLocalBus(MAPPED, { now });
  await using new_bus = await startLocalBus(MAPPED, { now });
  const [then, after] = await Promise.all([placeOn(old_bus), placeOn(new_bus)]);
  for (const { admin } of [then, after]) {
    for (const path of ["/v1/schemas/ping", "/v1/schemas/conf"]) {
      await admin.ask({ method: "PUT", path, body: ping(), content_type: "application/gzip" });
    }
  }
  await fc.assert(
    fc.asyncProperty(
      setups,
      setups,
      fc.array(message, { minLength: 20, maxLength: 40 }),
      fc.boolean(),
      payload,
      async (before, wanted, messages, is_erased, kept) => {
        const tenant = `t${++trials}`;
        await put(then, tenant, stateOf(tenant, before, kept));
        await put(after, tenant, stateOf(tenant, wanted, kept));
        const old = await sent(then, tenant, messages);
        const real = await sent(after, tenant, messages);
        const connections = new Set(messages.map(({ user }) => user)).size;
        const operations = messages.length + connections;
        const plan = () => planned(then, tenant, stateOf(tenant, wanted, kept), operations);
        let found = await plan();
        if (is_erased) {
          const body = JSON.stringify({ tenant, user: "bob" });
          await then.admin.ask({ method: "POST", path: "/v1/journal/erase", body });
          found = await plan();
        }
        if (found.messages === null) return assert.deepEqual(old, real);
        const count = (was: boolean) =>
          old.filter((allowed, at) => allowed === was && real[at] !== was).length;
        const { allow_to_refuse, refuse_to_allow, unknown, unknown_inputs } = found.messages;
        assert.ok(
          Object.keys(unknown_inputs).every((one) => INPUT.test(one)),
          JSON.stringify(unknown_inputs),
        );
        const known = [count(true) - allow_to_refuse, count(false) - refuse_to_allow];
        const text = `${consequencesText(found)}${JSON.stringify(unknown_inputs)}`;
        assert.ok(known.every((left) => left >= 0 && left <= unknown), `${known} ${text}`);
        now_ms += 1_000;
      },
    ),
    { endOnFailure: true, numRuns: TRIALS, seed: SEED },
  );
});
