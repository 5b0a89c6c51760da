/** Runs a row of the covering array on a bus, in its own tenant, and returns the differences from the model. */
import { field, gzippedSet } from "../../shield/schema/testing/messages.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { type Receiver, SECRET } from "../hooks/receiver.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { schemaAdmin } from "../peers/schema_admin.ts";
import { audited } from "./audit.ts";
import { readersOf, type Row, simpler } from "./factors.ts";
import {
  answerOf,
  deliveredTo,
  END,
  END_DATA,
  fateOf,
  formOf,
  HALF,
  isOdd,
  isTwice,
  messagesOf,
  placeOf,
  type ReceivedMessage,
  senderOf,
  type Sent,
  traceIdOf,
  typeOf,
} from "./model.ts";
import { observe, replayed } from "./observers.ts";
import { openReader } from "./readers.ts";
import type { Place, Reader } from "./reading.ts";
import { openSource, type Outcome, type Source } from "./sources.ts";
import {
  adminOf,
  closeGate,
  closeLate,
  ORIGIN,
  removeSome,
  reopen,
  SCHEMA,
  setClass,
  SIGNED_ROOM,
  type Stage,
  stageOf,
} from "./stage.ts";
import type { Ground } from "./stage.ts";
import { secretFile } from "../../shared/config/testing/secret_file.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
/** The tenant of the row at that place. */
export const tenantOf = (at: number) => `t${at}`;

/** The hooks that are called before a message of the gate `before` passes: only the configuration can define those. */
const hooksOf = (rows: readonly Row[], { url }: Receiver): string =>
  rows.map(({ gate }, at) =>
    gate !== "before" ? "" : `[[hooks]]
id = "gate-${at}"
tenant = "${tenantOf(at)}"
url = "${url}"
events = []
before = ["publish"]
#constant hooks.before_timeout_ms = 10_000
secret_file = "${secretFile(SECRET)}"
`
  ).join("");

/** The tenant's app of the Pusher endpoint; its secret is a key of Centrifugo's server API, too. */
export const appOf = (tenant: string) => ({
  id: `app-${tenant}`,
  key: `key-${tenant}`,
  secret: `the secret of the tenant ${tenant}`,
});

const isPusher = (row: Row): boolean =>
  row.source === "pusher" || readersOf(row).includes("pusher");

const hasApiKey = ({ source }: Row): boolean => source === "centrifugo_api";

/** Whether the row needs something that only the configuration gives its tenant. */
const needsTenant = (row: Row): boolean => row.gate === "before" || isPusher(row) || hasApiKey(row);

/** The tenants' keys of Centrifugo's server API. */
const apiKeysOf = (rows: readonly Row[]): string =>
  rows.map((row, at) =>
    hasApiKey(row)
      ? `[[centrifugo.api_keys]]
tenant = "${tenantOf(at)}"
key_file = "${secretFile(appOf(tenantOf(at)).secret)}"
`
      : ""
  ).join("");

/** The endpoint of Pusher's protocol, where each room of a row's tenant is a channel. */
const appsOf = (rows: readonly Row[]): string =>
  rows.map((row, at) => {
    if (!isPusher(row)) return "";
    const { id, key, secret } = appOf(tenantOf(at));
    return `[[pusher.apps]]
id = "${id}"
key = "${key}"
secret_file = "${secretFile(secret)}"
tenant = "${tenantOf(at)}"
room_prefix = ""
`;
  }).join("");

/** Denies what the gate `before` refuses; each tenant's first event is accepted only on its second attempt. */
export function answersOf(): Receiver["answer"] {
  const known = new Set<string>();
  return ({ body: { type, data } }) => {
    if (type === "before.publish") {
      const { data: sent } = data.message;
      const [letter = ""] = typeof sent === "string" ? sent : sent.k;
      return Response.json({ allow: !isOdd(placeOf(letter)) });
    }
    if (known.has(data.tenant)) return undefined;
    known.add(data.tenant);
    return new Response(null, { status: 503 });
  };
}

/** No server of quotas: each Shield counts alone. docs/operations.md, "Quotas". */
const NO_SERVER = "redis://127.0.0.1:9";

/** Servers beside the bus. */
export interface Servers {
  /** Of quotas; absent: none. */
  readonly quota_url?: string;
  /** Of a collector of traces; absent: none. */
  readonly otlp_url?: string;
}

/** All requests of clients are recorded, and otherwise only refusals. */
const telemetryOf = (url: string): string =>
  `[telemetry]
otlp_url = "${url}"
metrics = false
traces_ratio = 0
#constant telemetry.traces_per_second = 1_000_000
#constant telemetry.queue_spans = 100_000
#constant telemetry.timeout_ms = 60_000
`;

/** The configuration of a bus for these rows. */
export const configOf = (
  rows: readonly Row[],
  receiver: Receiver,
  { quota_url = NO_SERVER, otlp_url }: Servers = {},
): string =>
  `${hooksOf(rows, receiver)}${otlp_url === undefined ? "" : telemetryOf(otlp_url)}
[pusher]
${appsOf(rows)}
[centrifugo]
enabled = true
${apiKeysOf(rows)}[proof]
origin = "${ORIGIN}"
[auth]
require_signature = [{ role = "user", room = "${SIGNED_ROOM}" }]
[server]
host = "127.0.0.1"
heartbeat_ms = 600_000
[ops]
host = "127.0.0.1"
[journal]
#constant journal.flush_ms = 10
[usage]
enabled = true
#constant usage.flush_ms = 100
[quota]
url = "${quota_url}"
tenant_messages_per_second = 100_000_000
tenant_bytes_per_second = 1_099_511_627_776
# What a tenant has used up is not forgotten between two of its messages.
#constant quota.slice_ms = 10_000
[webhooks]
private_hosts = ["127.0.0.1"]
tenant_private_hosts = ["127.0.0.1"]
#constant webhooks.backoff_ms = 10
[durable]
log_bytes = 67_108_864
[limits]
messages_per_second = 10_000
#constant limits.admin_requests_per_second = 100_000
#constant limits.admin_changes_per_second = 10_000
${PATIENT_POLICIES}`;

/** The schema of the rows' messages; with the additional fields `more`, which none of them has. */
export function schemaOf(more: readonly string[] = []): Uint8Array<ArrayBuffer> {
  const fields = [field("k", 1, "string"), field("v", 2, "int32"), field("s", 3, "string")];
  const others = more.map((name, at) => field(name, fields.length + 1 + at, "string"));
  return gzippedSet([{ name: "Event", field: [...fields, ...others] }]);
}

/** Prepares a started bus. */
export async function groundOf(bus: TestBus, entry: TestBus, receiver: Receiver): Promise<Ground> {
  const admin = await adminOf(bus);
  const policies = await policyAdmin(bus);
  const upload = async (file: string) => {
    const bytes = await Deno.readFile(`${ROOT}policies/build/${file}`);
    const { status, body } = await policies.upload(bytes);
    if (status !== 200) throw new Error(`${file}: ${JSON.stringify(body)}`);
    return { sha256: String(body["sha256"]), bytes };
  };
  const schemas = await schemaAdmin(bus);
  const pushed = await schemas.push(SCHEMA, schemaOf());
  if (pushed.status !== 200) throw new Error(`the schema: ${JSON.stringify(pushed.body)}`);
  return {
    bus,
    entry,
    admin,
    receiver,
    modules: { policy: await upload("bad_words.wasm"), replace: await upload("mask_digits.wasm") },
  };
}

/** Compares the answer to a message with the model; records its offset. */
function wrongAnswers(
  { row, acked, receipts }: Stage,
  one: Sent,
  { refusal, offset, receipt }: Outcome,
): string[] {
  const { place } = one;
  const wanted = answerOf(row, fateOf(row, one).refusal);
  if (refusal !== wanted) {
    return [`message ${place}: ${refusal || "taken"}, the model: ${wanted || "taken"}`];
  }
  if (refusal !== "") return [];
  if (receipt !== undefined) receipts.push({ place, receipt });
  if (offset === undefined || offset === 0) return [];
  // docs/protocol.md, "Deduplication": a duplicate's ACK has the offset of the first.
  const first = acked.get(place);
  if (first !== undefined && first !== offset) {
    return [`message ${place} again: offset ${offset}, the model: ${first}`];
  }
  acked.set(place, offset);
  return [];
}

/** Sends all messages, some twice; the late readers connect after half of them. Returns the wrong answers. */
async function publish(
  stage: Stage,
  source: Source,
  readers: readonly Reader[],
): Promise<string[]> {
  const { row, backend } = stage;
  const wrong: string[] = [];
  const messages = messagesOf(row);
  const send = async (some: readonly Sent[]) => {
    const sent = some.flatMap((one) => isTwice(row, one.place) ? [one, one] : [one]);
    const outcomes = await source.publish(sent);
    sent.forEach((one, at) => wrong.push(...wrongAnswers(stage, one, outcomes[at]!)));
  };
  await send(messages.slice(0, HALF));
  const is_asked = row.removed !== "no" || readers.some(({ half }) => half !== undefined);
  const place = row.log === "plain" || !is_asked
    ? { offset: 0, epoch: "" }
    : await firstPlace(stage);
  await removeSome(stage, place.epoch);
  for (const one of readers) await one.half?.(place);
  await closeLate(stage);
  if (row.again === "yes") {
    // Setting the same value again changes nothing.
    await setClass(stage);
    if (!row.gate.includes("banned")) await closeGate(stage);
  }
  await send(messages.slice(HALF));
  await reopen(stage);
  await backend.done("POST", `rooms/${stage.room}/messages`, {
    type: "end",
    data: END_DATA,
    message_id: `m-${END}`,
  });
  return wrong;
}

/** The place of the log's first message. */
async function firstPlace({ backend, room }: Stage): Promise<Place> {
  const { body } = await backend.get(`rooms/${room}/messages?limit=1`);
  const { messages, epoch } = body.result ?? body;
  return { offset: messages[0]?.offset ?? 0, epoch };
}

/** A reader that gets nothing waits forever: it is given up this long after the last row ended. */
const RECEIVED_MS = 60_000;

/** What a reader has received until the end, or until an error. */
async function receivedBy(reader: Reader): Promise<{ got: ReceivedMessage[]; problem: string }> {
  const got: ReceivedMessage[] = [];
  const problem = await within(reader.receive(got), RECEIVED_MS).then(() => "", String);
  return { got, problem };
}

const short = (text = "nothing") => text.replace(/x{20,}/g, "x…").slice(0, 200);

/** Compares the members of a received message with the model. */
function wrongMembers(stage: Stage, wanted: Sent, received: ReceivedMessage): string[] {
  const { row, acked, trace } = stage;
  const members = {
    trace_id: row.trace === "yes" ? traceIdOf(trace, wanted.place) : undefined,
    offset: acked.get(wanted.place),
    message_id: wanted.message_id,
    type: typeOf(row),
  };
  const wrong = Object.entries(members).filter(([name, value]) => {
    const found = received[name as keyof ReceivedMessage];
    return value !== undefined && found !== undefined && found !== value;
  }).map(([name, value]) =>
    `its ${name} is ${received[name as keyof ReceivedMessage]}, the model: ${value}`
  );
  const sender = senderOf(row);
  if (received.sender !== undefined && !received.sender.startsWith(sender)) {
    wrong.push(`its sender is ${received.sender}, the model: ${sender}`);
  }
  return wrong;
}

/** docs/durable.md: with `latest` buffered messages are replaced, in a durable room never without a GAP. */
function compareSlow(stage: Stage, got: readonly ReceivedMessage[]): string[] {
  const { row } = stage;
  const messages = messagesOf(row);
  const wanted = deliveredTo(row, "text").map((place) => formOf(row, "text", messages[place]!));
  let at = 0;
  let is_gap = false;
  for (const { text } of got) {
    if (text.startsWith("signal") && text.includes("slow-consumer")) is_gap = true;
    else {
      const place = wanted.indexOf(text, at);
      if (place < 0) return [`slow hears ${short(text)} at ${at}, the model does not`];
      if (place > at && !is_gap) return [`slow hears no GAP before ${short(text)}`];
      at = place + 1;
      is_gap = false;
    }
  }
  return at === wanted.length ? [] : [`slow does not hear the newest, ${short(wanted.at(-1))}`];
}

function compareOne(stage: Stage, kind: Row["first"], got: readonly ReceivedMessage[]): string[] {
  const { row } = stage;
  if (kind === "slow") return compareSlow(stage, got);
  const messages = messagesOf(row);
  const places = deliveredTo(row, kind);
  const wanted = places.map((place) => formOf(row, kind, messages[place]!));
  const first = got.findIndex(({ text }, at) => text !== wanted[at]);
  if (first >= 0 || got.length !== wanted.length) {
    const at = first < 0 ? got.length : first;
    return [
      `${kind} hears ${got.length} of ${wanted.length}; the one at ${at} is ${
        short(got[at]?.text)
      }, the model: ${short(wanted[at])}`,
    ];
  }
  return got.flatMap((received, at) =>
    wrongMembers(stage, messages[places[at]!]!, received).map((what) => `${kind} at ${at}: ${what}`)
  );
}

async function compareReceived(stage: Stage, readers: readonly Reader[]): Promise<string[]> {
  const { row } = stage;
  const wrong: string[] = [];
  for (const [at, reader] of readers.entries()) {
    const kind = readersOf(row)[at]!;
    const { got, problem } = await receivedBy(reader);
    wrong.push(...compareOne(stage, kind, got));
    if (problem !== "") wrong.push(`${kind} hears no end: ${problem}`);
  }
  return wrong;
}

/**
 * docs/protocol-rooms.md, "Kicked and banned": a user whose subscription a ban has ended cannot subscribe again, and
 * receives nothing more.
 */
async function compareBanned({ banned, room }: Stage): Promise<string[]> {
  if (banned === undefined) return [];
  const { code, reason } = await banned.ask({ op: "sub", room });
  const wrong = `${code} ${reason}` === "403 room-banned" ? [] : [`the banned one's SUB: ${code}`];
  if (banned.waiting.length > 0) wrong.push("the banned one still hears the room");
  return wrong;
}

const userOf = (at: number) => `reader-${at}`;

/** Runs a row; returns its problems in order. */
async function runRow(ground: Ground, row: Row, tenant: string): Promise<string[]> {
  const { bus, entry, admin } = ground;
  const stage = await stageOf(ground, row, tenant);
  const { room, token, signing } = stage;
  await using stack = new AsyncDisposableStack();
  stack.defer(() => stage.banned?.[Symbol.dispose]());
  if (stage.witness !== undefined) stack.use(stage.witness);
  const app = appOf(tenant);
  const has_own = readersOf(row).includes("echo");
  const own = has_own ? stack.use(await DurableClient.open(entry.url, token)) : undefined;
  const readers: Reader[] = [];
  for (const [at, kind] of readersOf(row).entries()) {
    const seat = { bus, entry, admin, tenant, room, user: userOf(at), row, own, app_key: app.key };
    readers.push(stack.use(await openReader(kind, seat)));
  }
  const { trace } = stage;
  const way = {
    bus: entry,
    admin,
    row,
    tenant,
    room,
    token,
    own,
    signing,
    app,
    trace,
    nats: ground.nats,
  };
  const source = stack.use(await openSource(way));
  const answers = await publish(stage, source, readers);
  const problems = [...await compareReceived(stage, readers), ...await compareBanned(stage)];
  const users = readers.map(({ user }, at) => user ?? userOf(at));
  return [...answers, ...problems, ...await observe(stage, users)];
}

/** The values of a row. */
export const sayRow = (row: Row) =>
  Object.entries(row).map(([name, value]) => `${name}=${value}`).join(" ");

/** A row that waits forever is given up this long after the last row ended. */
const ROW_MS = 120_000;
/** When a row ended last, monotonic ms: rows are as fast as the machine, but some end. */
let ended_ms = 0;

/** Rejects if no row has ended for that long. */
async function within<T>(work: Promise<T>, limit_ms: number): Promise<T> {
  const began_ms = performance.now();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    if (performance.now() - Math.max(began_ms, ended_ms) < limit_ms) return;
    reject(new Error(`no row has ended for ${limit_ms} ms`));
  }, limit_ms / 10);
  return await Promise.race([work, late]).finally(() => clearInterval(timer));
}

/** The problems of a row. */
const judged = (ground: Ground, row: Row, tenant: string): Promise<string[]> =>
  within(runRow(ground, row, tenant), ROW_MS).catch(({ stack, cause }: Error) => [
    `${stack}${cause === undefined ? "" : `\n  because ${cause}`}`,
  ])
    .finally(() => ended_ms = performance.now());

/** Time in which further rows are started to simplify a failing one. */
const SHRINK_MS = 90_000;

/** The simplest failing row near this one, and its problems. */
async function shrunk(ground: Ground, row: Row, found: readonly string[], shrinks: number) {
  const began_ms = performance.now();
  let plainest = { row, found };
  let tries = 0;
  for (let next: Row | undefined = row; next !== undefined;) {
    const candidates = simpler(next);
    next = undefined;
    for (const one of candidates) {
      const is_over = tries === shrinks || performance.now() - began_ms > SHRINK_MS;
      // Its tenant is missing in the configuration.
      if (is_over || needsTenant(one)) continue;
      const found = await judged(ground, one, `shrunk-${tries++}`);
      if (found.length === 0) continue;
      plainest = { row: next = one, found };
      break;
    }
  }
  return `the plainest, row ${sayRow(plainest.row)}\n  ${plainest.found.join("\n  ")}`;
}

/** Rows that run in parallel. */
const AT_ONCE = 8;
/** How many failing rows are run and shrunk. */
export interface Patience {
  /** The run is aborted after this many failing rows: each waits in vain for something. */
  readonly wrong: number;
  /** Maximum number of rows that are run to simplify a failing one. */
  readonly shrinks: number;
}

const PATIENT: Patience = { wrong: 12, shrinks: 60 };

/**
 * Runs rows, each in its own tenant. Rejects with the failing ones, the problems of each, and the first one simplified
 * as far as possible.
 */
export async function runRows(
  ground: Ground,
  rows: readonly Row[],
  { wrong: wrong_max, shrinks }: Patience = PATIENT,
): Promise<void> {
  const wrong: { row: Row; found: string[] }[] = [];
  const texts: string[] = [];
  const waiting = [...rows.entries()];
  const work = async () => {
    for (let next; wrong.length < wrong_max && (next = waiting.shift()) !== undefined;) {
      const [at, row] = next;
      const found = await judged(ground, row, tenantOf(at));
      if (found.length === 0) continue;
      wrong.push({ row, found });
      texts.push(`row ${at}, ${sayRow(row)}\n  ${found.join("\n  ")}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const [first] = wrong;
  if (first !== undefined) {
    if (shrinks > 0) texts.push(await shrunk(ground, first.row, first.found, shrinks));
    throw new Error(`${wrong.length} of ${rows.length} rows:\n${texts.join("\n")}`);
  }
  const all = rows.map((row, at) => ({ row, tenant: tenantOf(at) }));
  await replayed(ground, all);
  await audited(ground.admin, ground.entry === ground.bus ? 1 : 2, all);
}
