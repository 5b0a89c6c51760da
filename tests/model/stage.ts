/** The environment of a row: its own tenant with a class, a hook and a gate, and the tokens of its users. */
import { seen, until } from "../../shared/testing/until.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { type Receiver, SECRET } from "../hooks/receiver.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { schemaAdmin } from "../peers/schema_admin.ts";
import { readersOf, type Row } from "./factors.ts";
import { HALF, removedOf, SHORT, takenOf } from "./model.ts";
import { type Receipted, treeOf } from "./proofs.ts";
import type { NatsConnection } from "@nats-io/transport-deno";
import type { OtlpReceiver } from "../otlp/receiver.ts";

/** A bus with everything that the gates need; with NATS, two Shields of it. */
export interface Ground {
  /** Used by readers and for the admin API. */
  readonly bus: TestBus;
  /** Used by publishers. */
  readonly entry: TestBus;
  readonly admin: AdminClient;
  /** The policies of the gates `policy` and `replace`. */
  readonly modules: Readonly<Record<"policy" | "replace", Module>>;
  /** Called by the hooks of all rows. */
  readonly receiver: Receiver;
  /** To the bus's NATS; absent: it has none. */
  readonly nats?: NatsConnection;
  /** The OTLP receiver of the bus's spans; absent: none. */
  readonly collector?: OtlpReceiver;
  /** What a shadow consumer has received so far, JSON of the data; absent: no process outside the bus can be one. */
  readonly shadowsOf?: (tenant: string, room: string) => readonly string[];
}

/** A policy of the bus. */
export interface Module {
  readonly sha256: string;
  readonly bytes: Uint8Array;
}

const PUBLISHER = "publisher";
/** The schema of the gate `schema`. */
export const SCHEMA = "model-event";
/** A room that requires signatures, and one that does not. */
export const SIGNED_ROOM = "room-signed-1";
const ROOM = "room-1";
/** The beginning of the names of all transparency logs. */
export const ORIGIN = "bus.example";
/** Of a trace id, without the message's place. */
const TRACE_CHARACTERS = 30;

/** A running row. */
export interface Stage extends Ground {
  readonly row: Row;
  readonly tenant: string;
  readonly room: string;
  readonly backend: HttpPeer;
  readonly token: string;
  readonly signing: CryptoKeyPair;
  /** The prefix of its messages' trace ids. */
  readonly trace: string;
  /** The offsets of the messages acknowledged with one, by place. */
  readonly acked: Map<number, number>;
  readonly receipts: Receipted[];
  /** Receives the messages of which some will be removed. */
  readonly witness: DurableClient | undefined;
  /** A connection of the publisher whose subscription the gate's ban has ended. */
  banned: DurableClient | undefined;
}

/** The accepted answer of an operator's request, repeated while the storage of a busy machine answers late. */
async function done(what: string, ask: () => ReturnType<AdminClient["ask"]>) {
  const answer = await seen(what, ask, ({ status }) => status !== 429 && status !== 503);
  const { status, text } = answer;
  if (status !== 200) throw new Error(`${what}: ${status} ${text}`);
  return answer;
}

/**
 * Repeats the change on each Shield: an answer means that it is in force there, and other Shields follow a moment
 * later.
 */
async function onEach({ bus, entry }: Ground, set: (bus: TestBus) => Promise<void>): Promise<void> {
  await set(bus);
  if (entry !== bus) await set(entry);
}

/** The author of changes of the row's tenant. */
export const OPERATOR = "root";

/** An operator of the bus. */
export const adminOf = async (bus: TestBus) =>
  new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: OPERATOR }));

/** The class of the row's room. */
export async function setClass(stage: Stage): Promise<void> {
  const { tenant, row } = stage;
  const { log, journal, delta, membership, proof } = row;
  const body = {
    room: "room-*",
    ...(log === "plain" ? {} : { durable: true }),
    ...(log === "latest" ? { slow_reader: "latest" } : {}),
    ...(log === "cached" ? { cache_last: true } : {}),
    ...(log === "short" ? { history_size: SHORT } : {}),
    ...(journal === "off" ? {} : { journal: "all" }),
    ...(journal === "keep" ? { journal_payload: "keep" } : {}),
    ...(delta === "none" ? {} : { delta }),
    ...(proof === "off" ? {} : { proof: true }),
    ...(membership === "off" ? {} : { membership }),
  };
  const is_slow = readersOf(row).includes("slow");
  const classes = [
    ...(Object.keys(body).length === 1 ? [] : [body]),
    // Fills a slow reader's socket, and must never be the reason for closing it.
    ...(is_slow ? [{ room: "fill-*", slow_reader: "latest" }] : []),
  ];
  await onEach(stage, async (bus) => {
    const admin = await adminOf(bus);
    for (const one of classes) {
      await done("the class", () => admin.ask("PUT", `/v1/tenants/${tenant}/rooms`, one));
    }
  });
}

/** The prefix of the row's mirror rule. */
export const mirroredBy = (tenant: string) => `in.t.${tenant}.r.room-*`;

/** The mirror rule of the row, if it has one. */
async function setMirror(stage: Stage): Promise<void> {
  const { tenant, row } = stage;
  if (row.mirror === "off") return;
  const rule = { prefix: mirroredBy(tenant), percent: 1 };
  await onEach(stage, async (bus) => {
    const admin = await adminOf(bus);
    await done("the rule", () => admin.ask("PUT", `/v1/tenants/${tenant}/mirror`, rule));
  });
}

/** The hook of the row, if it has one. */
async function setHook({ admin, tenant, row, receiver }: Stage): Promise<void> {
  if (row.hook === "no") return;
  const hook = { url: receiver.url, room: "room-*", secret: SECRET };
  await done("the hook", () => admin.ask("PUT", `/v1/tenants/${tenant}/hooks/h`, hook));
}

/** Bans the publisher from the room. */
export async function ban({ backend, room }: Stage): Promise<void> {
  await backend.done("POST", `rooms/${room}/bans`, { user_id: PUBLISHER, reason: "a test" });
}

/** Lets the publisher in again, and waits until each Shield has followed. */
export async function unban(stage: Stage): Promise<void> {
  const { backend, room } = stage;
  const command = { name: "room.unban", data: { user_id: PUBLISHER, scope: "room" } };
  await backend.done("POST", `rooms/${room}/commands`, command);
  await bansAre(stage, 0);
}

/** Waits until each Shield knows so many bans of the tenant. */
async function bansAre(stage: Stage, count: number): Promise<void> {
  await onEach(stage, async (bus) => {
    const admin = await adminOf(bus);
    await until(`${count} bans are in force`, async () => {
      const { bans } = await admin.read(`/v1/bans?tenant=${stage.tenant}`);
      return bans.length === count;
    });
  });
}

/** Does the same by a message on NATS, which has no answer: docs/operations.md, "Signals of backends". */
async function banBySignal(stage: Stage): Promise<void> {
  const { nats, tenant, room } = stage;
  if (nats === undefined) throw new TypeError("the bus is not on NATS");
  const signal = { kind: "BAN", target: PUBLISHER, reason: "a test" };
  nats.publish(`sys.t.${tenant}.signals`, JSON.stringify({ room, signal }));
  await bansAre(stage, 1);
}

/** Bans while the publisher is subscribed, too, and waits for the notification: earlier signals are dropped. */
async function endedBy(ban: (stage: Stage) => Promise<void>, stage: Stage): Promise<void> {
  const { bus, token, room } = stage;
  stage.banned = await DurableClient.open(bus.url, token);
  await stage.banned.join(room);
  await ban(stage);
  while ((await stage.banned.next()).signal?.kind !== "BAN");
}

async function setPolicy(stage: Stage, name: "policy" | "replace"): Promise<void> {
  const binding = { tenant: stage.tenant, name, sha256: stage.modules[name].sha256 };
  await onEach(stage, async (bus) => {
    const admin = await policyAdmin(bus);
    await done("the policy", () => admin.post("deploy", binding));
  });
}

async function setSchema(stage: Stage): Promise<void> {
  const { tenant } = stage;
  const mapping = { subject: `in.t.${tenant}.r.room-*`, schema_id: SCHEMA, message: "bench.Event" };
  await onEach(stage, async (bus) => {
    const admin = await schemaAdmin(bus);
    await done("the mapping", () => admin.map(tenant, mapping));
  });
}

/** Closes the gate: the row's messages are refused from now on. */
export async function closeGate(stage: Stage): Promise<void> {
  const { row: { gate } } = stage;
  if (gate === "policy" || gate === "replace") await setPolicy(stage, gate);
  if (gate === "schema_policy") await setPolicy(stage, "policy");
  if (gate === "schema" || gate === "schema_policy") await setSchema(stage);
  if (gate === "banned" || gate === "ungranted_banned") await endedBy(ban, stage);
  if (gate === "banned_signal") await endedBy(banBySignal, stage);
}

/** The name of the gate `budget`'s budget. */
const BUDGET = { per: "month", unit: "messages_in", action: "refuse" };
/** More than a quota of one byte per second refills during a row. */
const DEBT_BYTES = 20_000;

/** Gives the tenant a budget of what is already counted, so that it is exhausted. */
async function setBudget({ tenant }: Stage, bus: TestBus, limit: number): Promise<void> {
  const admin = await adminOf(bus);
  const path = `/v1/tenants/${tenant}/budgets`;
  await done("the budget", () => admin.ask("PUT", path, { ...BUDGET, limit }));
  // The counts of Shields reach the ledger a moment later.
  await until("the budget is used up", async () => {
    const { in_force } = await admin.read(path);
    return in_force.length === 1 && in_force[0].exhausted;
  });
}

async function setQuotas({ admin, tenant }: Stage, quotas: readonly object[]): Promise<void> {
  const path = `/v1/tenants/${tenant}/state`;
  await done("the quota", async () => {
    const { basis } = await admin.read(path);
    return await admin.ask("PUT", path, { basis, quotas });
  });
}

/** Gives the tenant a quota, and exhausts it on the Shield that gets the messages. */
async function setQuota(stage: Stage): Promise<void> {
  await setQuotas(stage, [{ unit: "bytes", per_second: 1 }]);
  const message = { type: "fill", data: "y".repeat(DEBT_BYTES) };
  await until("the quota is used up", async () => {
    const { status } = await stage.backend.call("POST", "rooms/spent/messages", message);
    return status === 429;
  });
}

/** Closes the gates for the second half of the row's messages. */
export async function closeLate(stage: Stage): Promise<void> {
  const { row: { gate } } = stage;
  if (gate === "banned_late") await endedBy(ban, stage);
  if (gate === "budget") {
    const { total } = await seen(
      "use is counted",
      () => stage.admin.read(`/v1/usage?tenant=${stage.tenant}`),
      ({ total }) => total.messages_in >= HALF,
    );
    await onEach(stage, (bus) => setBudget(stage, bus, total.messages_in));
  }
  if (gate === "quota") await setQuota(stage);
}

/** The path and the body of the request that removes messages, by the offset of the last one. */
function removal({ tenant, room, row }: Stage, offset: number | undefined): [string, object] {
  if (row.removed === "erased") return ["/v1/data/erase", { tenant, room, offset }];
  return [`/v1/rooms/${tenant}/${room}/trim`, { before: offset }];
}

/**
 * Removes messages of the first half, if the row does, once all who are subscribed have them and each log has them.
 * `epoch` is the log's.
 */
export async function removeSome(stage: Stage, epoch: string): Promise<void> {
  const { admin, row, room, witness } = stage;
  const removed = removedOf(row);
  if (removed === undefined || witness === undefined) return;
  const places = takenOf(row).filter((place) => place < HALF);
  const offsets: number[] = [];
  for (const _place of places) offsets.push((await witness.next()).offset ?? 0);
  if (row.proof !== "off") await treeOf(stage, places.length);
  const offset = offsets[places.indexOf(removed)];
  const [path, body] = removal(stage, offset);
  const answer = await done("the removal", () => admin.ask("POST", path, body));
  if (answer.text.includes('"failed"')) throw new Error(`the removal: ${answer.text}`);
  // docs/durable.md: "No Shield serves erased messages more than a second later".
  const place = { after_offset: offsets[0]!, epoch };
  await until("the readers' Shield knows what is removed", async () => {
    return (await witness.join(room, place)).recovered === false;
  });
}

/** Reopens gates that are closed for the whole tenant, so that the row's end message passes. */
export async function reopen(stage: Stage): Promise<void> {
  const { row: { gate }, tenant } = stage;
  if (gate === "quota") await setQuotas(stage, []);
  if (gate === "budget") {
    const path = `/v1/tenants/${tenant}/budgets?${new URLSearchParams(BUDGET)}`;
    await onEach(stage, async (bus) => {
      const admin = await adminOf(bus);
      await done("the budget's end", () => admin.ask("DELETE", path));
    });
  }
}

/** Opens the tenant of a row. */
async function openStage(ground: Ground, row: Row, tenant: string): Promise<Stage> {
  const { entry: bus } = ground;
  const room = row.gate === "unsigned" ? SIGNED_ROOM : ROOM;
  const service = await bus.tokenFor({ tenant, user: "backend", role: "service" });
  const grants = [{ room, actions: ["subscribe", "command"] }];
  const signing = await crypto.subtle.generateKey("Ed25519", true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const claims = {
    ...(row.gate.startsWith("ungranted") ? { grants } : {}),
    ...(row.source === "signed"
      ? { cnf: { jwk: await crypto.subtle.exportKey("jwk", signing.publicKey) } }
      : {}),
  };
  const token = await bus.tokenFor({ tenant, user: PUBLISHER, claims });
  const backend = new HttpPeer(bus.http_url, service);
  const is_kept = row.removed !== "no";
  const trace = crypto.randomUUID().replaceAll("-", "").slice(0, TRACE_CHARACTERS);
  return {
    ...ground,
    row,
    tenant,
    room,
    backend,
    token,
    signing,
    trace,
    acked: new Map(),
    receipts: [],
    witness: is_kept ? await DurableClient.open(ground.bus.url, service) : undefined,
    banned: undefined,
  };
}

/** A row's tenant, ready for its messages. */
export async function stageOf(ground: Ground, row: Row, tenant: string): Promise<Stage> {
  const stage = await openStage(ground, row, tenant);
  await setClass(stage);
  await setHook(stage);
  await setMirror(stage);
  await stage.witness?.join(stage.room);
  await closeGate(stage);
  return stage;
}
