/** Runs a row of the covering array on a bus, in a tenant of its own, and says what the model finds wrong. */
import { descriptorSet, field, gzipped } from "../../bench/governance/governance_descriptor.ts";
import { seen, until } from "../../shared/testing/until.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { DurableClient } from "../peers/durable_client.ts";
import { type ReceivedCall, type Receiver, SECRET } from "../hooks/receiver.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { policyAdmin } from "../peers/policy_admin.ts";
import { schemaAdmin } from "../peers/schema_admin.ts";
import type { Row } from "./factors.ts";
import {
  decisionsOf,
  END,
  END_DATA,
  fateOf,
  formOf,
  HALF,
  heardBy,
  isOdd,
  isTwice,
  messagesOf,
  placeOf,
  type Sent,
  useOf,
  whyOf,
} from "./model.ts";
import { openReader, type Reader } from "./readers.ts";
import { openSource, type Source } from "./sources.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const ROOM = "room-1";
const PUBLISHER = "publisher";
const SCHEMA = "model-event";

/** The tenant of the row at that place. */
export const tenantOf = (at: number) => `t${at}`;

/** The hooks that are asked before a message of the gate `before` passes: the configuration alone can have those. */
const hooksOf = (rows: readonly Row[], { url }: Receiver): string =>
  rows.map(({ gate }, at) =>
    gate !== "before" ? "" : `[[hooks]]
id = "gate-${at}"
tenant = "${tenantOf(at)}"
url = "${url}"
events = []
before = ["publish"]
before_timeout_ms = 10_000
secret = "${SECRET}"
`
  ).join("");

/** Denies what the gate `before` refuses. */
export function answerBefore({ body: { type, data } }: ReceivedCall): Response | undefined {
  if (type !== "before.publish") return undefined;
  const { data: sent } = data.message;
  const [letter = ""] = typeof sent === "string" ? sent : sent.k;
  return Response.json({ allow: !isOdd(placeOf(letter)) });
}

/** The configuration of a bus that these rows run on. */
export const configOf = (rows: readonly Row[], receiver: Receiver): string =>
  `${hooksOf(rows, receiver)}
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[journal]
flush_ms = 10
[usage]
enabled = true
flush_ms = 100
[webhooks]
private_hosts = ["127.0.0.1"]
tenant_private_hosts = ["127.0.0.1"]
[durable]
log_bytes = 4_194_304
[limits]
messages_per_second = 10_000
admin_requests_per_second = 100_000
admin_changes_per_second = 10_000
${PATIENT_POLICIES}`;

/** A bus with what the gates need; with NATS, two Shields of it. */
export interface Ground {
  /** Where readers are, and what is asked of the admin API. */
  readonly bus: TestBus;
  /** Where messages come in. */
  readonly entry: TestBus;
  readonly admin: AdminClient;
  /** The hashes of the policies of the gates `policy` and `replace`. */
  readonly modules: Readonly<Record<"policy" | "replace", string>>;
  /** Called by the hooks of all rows. */
  readonly receiver: Receiver;
}

/** Prepares a bus that has begun. */
export async function groundOf(bus: TestBus, entry: TestBus, receiver: Receiver): Promise<Ground> {
  const admin = await adminOf(bus);
  const policies = await policyAdmin(bus);
  const upload = async (file: string) => {
    const { status, body } = await policies.upload(
      await Deno.readFile(`${ROOT}policies/build/${file}`),
    );
    if (status !== 200) throw new Error(`${file}: ${JSON.stringify(body)}`);
    return String(body["sha256"]);
  };
  const message = {
    name: "Event",
    field: [field("k", 1, "string"), field("v", 2, "int32"), field("s", 3, "string")],
  };
  const schemas = await schemaAdmin(bus);
  const pushed = await schemas.push(SCHEMA, gzipped(descriptorSet([message])));
  if (pushed.status !== 200) throw new Error(`the schema: ${JSON.stringify(pushed.body)}`);
  return {
    bus,
    entry,
    admin,
    receiver,
    modules: { policy: await upload("bad_words.wasm"), replace: await upload("mask_digits.wasm") },
  };
}

/** A row that runs. */
export interface Stage extends Ground {
  readonly row: Row;
  readonly tenant: string;
  readonly backend: HttpPeer;
  readonly token: string;
}

const done = (what: string, { status, body }: { status: number; body: unknown }) => {
  if (status !== 200) throw new Error(`${what}: ${status} ${JSON.stringify(body)}`);
};

/** Does it on each Shield: an answer says that the change is in force there, and elsewhere it comes a moment later. */
async function onEach({ bus, entry }: Ground, set: (bus: TestBus) => Promise<void>): Promise<void> {
  await set(bus);
  if (entry !== bus) await set(entry);
}

const adminOf = async (bus: TestBus) =>
  new AdminClient(bus.admin_url, await bus.tokenFor({ role: "admin", user: "root" }));

/** The class of the row's room. */
async function setClass(stage: Stage): Promise<void> {
  const { tenant, row: { log, journal, delta } } = stage;
  const body = {
    room: "room-*",
    ...(log === "plain" ? {} : { durable: true }),
    ...(log === "latest" ? { slow_reader: "latest" } : {}),
    ...(journal === "all" ? { journal: "all" } : {}),
    ...(delta === "none" ? {} : { delta }),
  };
  if (Object.keys(body).length === 1) return;
  await onEach(stage, async (bus) => {
    done("the class", await (await adminOf(bus)).ask("PUT", `/v1/tenants/${tenant}/rooms`, body));
  });
}

async function setHook({ admin, tenant, row, receiver }: Stage): Promise<void> {
  if (row.hook === "no") return;
  const hook = { url: receiver.url, room: "room-*", secret: SECRET };
  done("the hook", await admin.ask("PUT", `/v1/tenants/${tenant}/hooks/h`, hook));
}

async function closeGate(stage: Stage): Promise<void> {
  const { row: { gate }, tenant, modules, backend } = stage;
  if (gate === "policy" || gate === "replace") {
    const binding = { tenant, name: gate, sha256: modules[gate] };
    await onEach(stage, async (bus) => {
      done("the policy", await (await policyAdmin(bus)).post("deploy", binding));
    });
  } else if (gate === "schema") {
    const mapping = {
      subject: `in.t.${tenant}.r.room-*`,
      schema_id: SCHEMA,
      message: "bench.Event",
    };
    await onEach(stage, async (bus) => {
      done("the mapping", await (await schemaAdmin(bus)).map(tenant, mapping));
    });
  } else if (gate === "banned") {
    await backend.done("POST", `rooms/${ROOM}/bans`, { user_id: PUBLISHER, reason: "a test" });
  }
}

async function openStage(ground: Ground, row: Row, tenant: string): Promise<Stage> {
  const { entry: bus } = ground;
  const service = await bus.tokenFor({ tenant, user: "backend", role: "service" });
  const claims = row.gate === "ungranted"
    ? { grants: [{ room: ROOM, actions: ["subscribe", "command"] }] }
    : {};
  const token = await bus.tokenFor({ tenant, user: PUBLISHER, claims });
  return { ...ground, row, tenant, backend: new HttpPeer(bus.http_url, service), token };
}

/** A row's tenant as its messages find it. */
export async function stageOf(ground: Ground, row: Row, tenant: string): Promise<Stage> {
  const stage = await openStage(ground, row, tenant);
  await setClass(stage);
  await setHook(stage);
  await closeGate(stage);
  return stage;
}

/** Sends all messages, some twice; half of the way the late readers come. What was wrong about the answers. */
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
    sent.forEach((one, at) => {
      const { refusal } = fateOf(row, one);
      if (outcomes[at] === refusal) return;
      wrong.push(
        `message ${one.place}: ${outcomes[at] || "taken"}, the model: ${refusal || "taken"}`,
      );
    });
  };
  await send(messages.slice(0, HALF));
  const offset = row.log === "plain" || readers.every(({ half }) => half === undefined)
    ? 0
    : await firstOffset(stage);
  for (const one of readers) await one.half?.(offset);
  if (row.again === "yes") {
    // What is set again as it was changes nothing.
    await setClass(stage);
    if (row.gate !== "banned") await closeGate(stage);
  }
  await send(messages.slice(HALF));
  await backend.done("POST", `rooms/${ROOM}/messages`, {
    type: "end",
    data: END_DATA,
    message_id: `m-${END}`,
  });
  return wrong;
}

async function firstOffset({ backend }: Stage): Promise<number> {
  const { body } = await backend.call("GET", `rooms/${ROOM}/messages?limit=1`);
  return (body.result ?? body).messages[0]?.offset ?? 0;
}

async function compareHeard({ row }: Stage, readers: readonly Reader[]): Promise<string[]> {
  const messages = messagesOf(row);
  const wrong: string[] = [];
  for (const [at, reader] of readers.entries()) {
    const kind = at === 0 ? row.first : row.second;
    const wanted = heardBy(row, kind).map((place) => formOf(row, kind, messages[place]!));
    const heard = await reader.heard();
    const first = heard.findIndex((one, place) => one !== wanted[place]);
    if (first < 0 && heard.length === wanted.length) continue;
    const place = first < 0 ? heard.length : first;
    const short = (text = "nothing") => text.slice(0, 200);
    wrong.push(
      `${kind} hears ${heard.length} of ${wanted.length}; the one at ${place} is ${
        short(heard[place])
      }, the model: ${short(wanted[place])}`,
    );
  }
  return wrong;
}

async function compareWhy({ admin, row, tenant }: Stage): Promise<string[]> {
  const wrong: string[] = [];
  for (const message of messagesOf(row)) {
    const { place, message_id } = message;
    if (message_id === undefined || fateOf(row, message).refusal !== "") continue;
    for (const [at, kind] of [row.first, row.second].entries()) {
      const wanted = whyOf(row, kind, place);
      if (wanted === undefined) continue;
      const user = kind === "echo" ? PUBLISHER : userOf(at);
      const query = new URLSearchParams({ tenant, message_id, user, room: ROOM });
      // A Shield that has no time to answer is named, and what it knows is not in the answer.
      const { connections, messages } = await seen(
        "every Shield answers",
        () => admin.read(`/v1/why?${query}`),
        ({ nodes }) => nodes.silent.length === 0,
      );
      const first = messages.findIndex(({ duplicate }: { duplicate?: boolean }) =>
        duplicate !== true
      );
      const [outcome] = connections[0]?.outcomes ?? [];
      const told = `${outcome?.state} ${
        ["sent", "not_connected"].includes(outcome?.state) ? "" : outcome?.why ?? ""
      }`
        .trim();
      if (first >= 0 && told === wanted) continue;
      wrong.push(`why of message ${place} for ${kind}: ${told}, the model: ${wanted}`);
    }
  }
  return wrong;
}

async function compareJournal({ admin, row, tenant }: Stage): Promise<string[]> {
  const messages = messagesOf(row).filter(({ message_id }) => message_id !== undefined);
  const countsOf = async () => {
    const decisions = await admin.decisions(tenant);
    return messages.map(({ message_id }) =>
      decisions.filter((one) => one.message_id === message_id).length
    );
  };
  const wanted = messages.map(({ place }) => decisionsOf(row, place));
  let counts: number[] = [];
  const isRight = async () => {
    counts = await countsOf();
    return counts.every((count, at) => count === wanted[at]);
  };
  return await until("the journal has all", isRight, COUNTED_MS).then(() => [], () => [
    `the journal has ${counts} decisions of the messages, the model: ${wanted}`,
  ]);
}

async function compareUse({ admin, row, tenant }: Stage): Promise<string[]> {
  const wanted = useOf(row);
  if (wanted === undefined) return [];
  let told = "";
  const isRight = async () => {
    const { total } = await admin.read(`/v1/usage?tenant=${tenant}`);
    told = `${total.messages_in} messages, ${total.deliveries} deliveries`;
    return total.messages_in === wanted.messages_in && total.deliveries === wanted.deliveries;
  };
  return await until("use is counted", isRight, COUNTED_MS).then(() => [], () => [
    `the ledger of use has ${told}, the model: ${wanted.messages_in} and ${wanted.deliveries}`,
  ]);
}

async function compareHook({ row, tenant, receiver }: Stage): Promise<string[]> {
  if (row.hook === "no") return [];
  const called = () =>
    receiver.taken.map(({ body }) => body.data).filter((data) => data.tenant === tenant)
      .map(({ message }) => JSON.stringify(message.data));
  const isOver = () => called().includes(JSON.stringify(END_DATA));
  await until("the hook is called for the end", isOver, COUNTED_MS).catch(() => {});
  const wanted = heardBy(row, "text").map((place) => fateOf(row, messagesOf(row)[place]!).heard);
  const all = [...wanted, JSON.stringify(END_DATA)];
  const seen = called();
  if (JSON.stringify(seen) === JSON.stringify(all)) return [];
  return [
    `the hook was called for ${seen.map((one) => one.slice(0, 12))}, the model: ${
      all.map((one) => one.slice(0, 12))
    }`,
  ];
}

/** What Shields count and journal is there a moment after the answer, later where the machine is busy. */
const COUNTED_MS = 20_000;

const userOf = (at: number) => `reader-${at}`;

/** Runs a row; what was wrong, the first of it first. */
async function runRow(ground: Ground, row: Row, tenant: string): Promise<string[]> {
  const { bus, entry, admin } = ground;
  const stage = await stageOf(ground, row, tenant);
  await using stack = new AsyncDisposableStack();
  const has_own = row.first === "echo" || row.second === "echo";
  const own = has_own ? stack.use(await DurableClient.open(entry.url, stage.token)) : undefined;
  const readers: Reader[] = [];
  for (const [at, kind] of [row.first, row.second].entries()) {
    const seat = { bus, tenant, room: ROOM, user: userOf(at), row, own };
    readers.push(stack.use(await openReader(kind, seat)));
  }
  const source = stack.use(
    await openSource({ bus: entry, admin, row, tenant, room: ROOM, token: stage.token, own }),
  );
  const answers = await publish(stage, source, readers);
  const heard = await compareHeard(stage, readers);
  return [
    ...answers,
    ...heard,
    ...await compareWhy(stage),
    ...await compareJournal(stage),
    ...await compareUse(stage),
    ...await compareHook(stage),
  ];
}

/** The values of a row. */
export const sayRow = (row: Row) =>
  Object.entries(row).map(([name, value]) => `${name}=${value}`).join(" ");

/** So long after the last row ended, those that run wait for what never comes. */
const STUCK_MS = 120_000;

/** Rejects when the rows are stuck, however long each takes on this machine. */
async function unlessStuck<T>(work: Promise<T>, ended: { last_ms: number }): Promise<T> {
  const { promise: stuck, reject } = Promise.withResolvers<never>();
  const timer = setInterval(() => {
    if (performance.now() - ended.last_ms > STUCK_MS) reject(new Error("it waits in vain"));
  }, STUCK_MS / 10);
  return await Promise.race([work, stuck]).finally(() => clearInterval(timer));
}

/** Rows that run side by side. */
const AT_ONCE = 8;
/** After so many wrong rows the rest is not run: each waits in vain for what does not come. */
const WRONG_MAX = 12;

/** Runs rows, each in a tenant of its own. Rejects with the first that went wrong, and what was wrong about each. */
export async function runRows(ground: Ground, rows: readonly Row[]): Promise<void> {
  const wrong: string[] = [];
  const waiting = [...rows.entries()];
  const ended = { last_ms: performance.now() };
  const work = async () => {
    for (let next; wrong.length < WRONG_MAX && (next = waiting.shift()) !== undefined;) {
      const [at, row] = next;
      const work = runRow(ground, row, tenantOf(at));
      const found = await unlessStuck(work, ended).catch(({ stack }: Error) => [`${stack}`]);
      ended.last_ms = performance.now();
      if (found.length > 0) wrong.push(`row ${at}, ${sayRow(row)}\n  ${found.join("\n  ")}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (wrong.length > 0) {
    throw new Error(`${wrong.length} of ${rows.length} rows:\n${wrong.join("\n")}`);
  }
}
