/** The observers' answers: `why`, the journal and its replay, the ledger of use, hooks, the members' journal. */
import { journalChunks } from "../../arq/replay/journal_chunks.ts";
import { createModuleBook } from "../../arq/replay/replay_modules.ts";
import { replay } from "../../arq/replay/replay_run.ts";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { seen, until } from "../../shared/testing/until.ts";
import { samplesOf } from "../harness/server_state.ts";
import { readersOf, type Row } from "./factors.ts";
import {
  CLIENT_SPAN,
  copiesOf,
  type Decision,
  decisionsOf,
  deliveredTo,
  END_DATA,
  fateOf,
  messagesOf,
  othersOf,
  removedOf,
  type Sent,
  traceIdOf,
  traceOf,
  useOf,
  whyOf,
} from "./model.ts";
import { compareProof } from "./proofs.ts";
import { guestOf } from "./readers.ts";
import { type Ground, mirroredBy, type Stage } from "./stage.ts";

/** Shields count and journal a moment after the answer, later if the machine is busy. */
const COUNTED_MS = 20_000;

/** All problems of the observers' answers about a row; `users` are its readers' users. */
export async function observe(stage: Stage, users: readonly string[]): Promise<string[]> {
  return [
    ...await compareWhy(stage, users),
    ...await compareJournal(stage),
    ...await compareUse(stage),
    ...await compareHook(stage),
    ...await compareMembers(stage, users),
    ...await compareMirror(stage),
    ...await compareTraces(stage),
    ...await compareProof(stage),
  ];
}

async function compareWhy(stage: Stage, users: readonly string[]): Promise<string[]> {
  const { row } = stage;
  const wrong: string[] = [];
  for (const message of messagesOf(row)) {
    const { place, message_id } = message;
    if (message_id === undefined || fateOf(row, message).refusal !== "") continue;
    for (const [at, kind] of readersOf(row).entries()) {
      const wanted = whyOf(row, kind, place);
      if (wanted === undefined) continue;
      const user = kind === "echo" ? "publisher" : users[at]!;
      const { is_known, outcome } = await whyOutcome(stage, message_id, user);
      if (is_known && outcome === wanted) continue;
      wrong.push(`why of message ${place} for ${kind}: ${outcome}, the model: ${wanted}`);
    }
  }
  return wrong;
}

/** The answer of `why` about a message and a user in the model's form, and whether it knows the message itself. */
export async function whyOutcome(
  { admin, tenant, room }: Stage,
  message_id: string,
  user: string,
): Promise<{ is_known: boolean; outcome: string }> {
  const query = new URLSearchParams({ tenant, message_id, user, room });
  // The answer names a Shield that had no time to reply, and lacks what that one knows.
  const { connections, messages } = await seen(
    "every Shield answers",
    () => admin.read(`/v1/why?${query}`),
    ({ nodes }) => nodes.silent.length === 0,
  );
  const is_known = messages.some(({ duplicate }: { duplicate?: boolean }) => duplicate !== true);
  const [outcome] = connections[0]?.outcomes ?? [];
  const says_more = !["sent", "not_connected"].includes(outcome?.state);
  return { is_known, outcome: `${outcome?.state} ${says_more ? outcome?.why ?? "" : ""}`.trim() };
}

const textOf = (base64: string) => new TextDecoder().decode(Uint8Array.fromBase64(base64));

/** A record, as far as the model covers it. */
function decisionOf({ allowed, code, reason, payload, policies }: JournalRecord): Decision {
  const replaced = policies.findLast((one) => one.payload !== null)?.payload;
  return {
    allowed,
    refusal: allowed ? "" : `${code} ${reason}`,
    payload: payload.form === "kept" ? `kept ${textOf(payload.data)}` : payload.form,
    replaced: replaced === undefined || replaced === null ? undefined : textOf(replaced),
  };
}

async function compareJournal({ admin, row, tenant }: Stage): Promise<string[]> {
  const messages = messagesOf(row).filter(({ message_id }) => message_id !== undefined);
  const read = async () => {
    const decisions = await admin.decisions(tenant);
    return messages.map(({ message_id }) =>
      decisions.filter((one) => one.message_id === message_id).map(decisionOf)
    );
  };
  const wanted = messages.map((one) => decisionsOf(row, one));
  let decisions: Decision[][] = [];
  const isRight = async () => {
    decisions = await read();
    return JSON.stringify(decisions) === JSON.stringify(wanted);
  };
  return await until("the journal has all", isRight, COUNTED_MS).then(() => [], () => {
    const at = decisions.findIndex((one, at) => JSON.stringify(one) !== JSON.stringify(wanted[at]));
    const say = (one: readonly Decision[] | undefined) =>
      JSON.stringify(one).replace(/x{20,}/g, "x…").slice(0, 400);
    return [
      `the journal has of message ${at} ${say(decisions[at])}, the model: ${say(wanted[at])}`,
    ];
  });
}

async function compareUse({ admin, row, tenant }: Stage): Promise<string[]> {
  const wanted = useOf(row);
  if (wanted === undefined) return [];
  let counted = "";
  const isRight = async () => {
    const { total } = await admin.read(`/v1/usage?tenant=${tenant}`);
    counted = `${total.messages_in} messages, ${total.deliveries} deliveries`;
    return total.messages_in === wanted.messages_in && total.deliveries === wanted.deliveries;
  };
  return await until("use is counted", isRight, COUNTED_MS).then(() => [], () => [
    `the ledger of use has ${counted}, the model: ${wanted.messages_in} and ${wanted.deliveries}`,
  ]);
}

const LOST = "hook.lost";

/** docs/hooks.md: `hook.lost` reports what the log removed before the hook was called. Nothing is skipped silently. */
function isWithoutSilence(calls: readonly string[], wanted: readonly string[]): boolean {
  let at = 0;
  let is_lost = false;
  for (const one of calls) {
    if (one === LOST) is_lost = true;
    else {
      const place = wanted.indexOf(one, at);
      if (place < 0 || place > at && !is_lost) return false;
      at = place + 1;
      is_lost = false;
    }
  }
  return at === wanted.length;
}

async function compareHook({ row, tenant, room, receiver }: Stage): Promise<string[]> {
  if (row.hook === "no") return [];
  const called = () =>
    receiver.taken.map(({ body }) => body)
      .filter(({ data }) => data.tenant === tenant && data.room === room)
      .map(({ type, data }) => type === LOST ? LOST : JSON.stringify(data.message.data));
  const isOver = () => called().includes(JSON.stringify(END_DATA));
  await until("the hook is called for the end", isOver, COUNTED_MS).catch(() => {});
  const messages = messagesOf(row);
  const wanted = deliveredTo(row, "text").map((place) => fateOf(row, messages[place]!).delivered);
  const all = [...wanted, JSON.stringify(END_DATA)];
  const calls = called();
  const may_lose = row.log === "short" || removedOf(row) !== undefined;
  if (may_lose && isWithoutSilence(calls, all)) return [];
  if (JSON.stringify(calls) === JSON.stringify(all)) return [];
  return [
    `the hook was called for ${calls.map((one) => one.slice(0, 12))}, the model: ${
      all.map((one) => one.slice(0, 12))
    }`,
  ];
}

/** docs/presence.md: "Each connection has one `joined` and one `left`". */
async function compareMembers(stage: Stage, users: readonly string[]): Promise<string[]> {
  const { row, backend, room } = stage;
  if (row.membership === "off") return [];
  const wanted = users.filter((_, at) => readersOf(row)[at] === "member")
    .flatMap((user) => [
      `joined ${user}`,
      ...["joined", "left"].map((what) => `${what} ${guestOf(user)}`),
    ]);
  if (wanted.length > 0) wanted.push("occupied");
  let entries: string[] = [];
  const isRight = async () => {
    const { body } = await backend.get(`rooms/${room}~members/messages?limit=100`);
    const { messages } = body.result ?? body;
    entries = messages.map(({ type, data }: { type: string; data: { user_id?: string } }) =>
      `${type} ${data.user_id ?? ""}`.trim()
    );
    return JSON.stringify(entries.toSorted()) === JSON.stringify(wanted.toSorted());
  };
  return await until("who came is written", isRight, COUNTED_MS).then(() => [], () => [
    `the members' journal has ${entries}, the model: ${wanted}`,
  ]);
}

/** The number of published copies of the row, on all Shields. */
async function copiesCounted({ bus, entry, tenant }: Stage): Promise<number> {
  const series = `shield_mirror_traffic_total{rule="${mirroredBy(tenant)}",outcome="published"}`;
  const pages = await Promise.all(
    [...new Set([bus, entry])].map(({ ops_url }) => samplesOf(ops_url)),
  );
  return pages.reduce((sum, page) => sum + (page.get(series) ?? 0), 0);
}

/** docs/governance.md, "The copy": copies are counted, and reach every subscriber of the shadow subject. */
async function compareMirror(stage: Stage): Promise<string[]> {
  const { row, tenant, room, shadowsOf } = stage;
  const wanted = copiesOf(row);
  if (wanted === undefined) return [];
  const { least, most } = wanted;
  const isOne = (copies: readonly string[]) =>
    [least, most].some((all) => JSON.stringify(all) === JSON.stringify(copies));
  let counted = 0;
  let copies: readonly string[] = [];
  const isRight = async () => {
    counted = await copiesCounted(stage);
    copies = shadowsOf?.(tenant, room) ?? least;
    const others = othersOf(row);
    return counted >= least.length + others && counted <= most.length + others && isOne(copies);
  };
  return await until("all is mirrored", isRight, COUNTED_MS).then(() => [], () => [
    `${counted} copies are counted and ${copies.length} came (${
      copies.map((one) => one.slice(0, 12))
    }), the model: ${least.length} to ${most.length}`,
  ]);
}

/** The spans of the row's messages, those of one message by its id. */
function spansOf({ collector, tenant, room }: Stage) {
  const mine = collector!.spans().filter(({ name, attributes }) =>
    name === "publish" && attributes["arqon.tenant"] === tenant &&
    attributes["arqon.room"] === room
  );
  const ids = new Set(mine.map(({ span_id }) => span_id));
  const children = collector!.spans().filter(({ parent_span_id }) => ids.has(parent_span_id));
  return { mine, children };
}

/** Compares the spans of one message with the model. */
function wrongTrace(stage: Stage, message: Sent, { mine, children }: ReturnType<typeof spansOf>) {
  const { row, trace } = stage;
  const { place, message_id } = message;
  const own = mine.filter(({ attributes, trace_id }) =>
    message_id === undefined
      ? trace_id === traceIdOf(trace, place)
      : attributes["messaging.message.id"] === message_id
  );
  const ids = own.map(({ span_id }) => span_id);
  const below = children.filter(({ parent_span_id }) => ids.includes(parent_span_id));
  const wrong: string[] = [];
  const { publish, policies } = traceOf(row, message);
  const errors = own.map(({ attributes }) => attributes["error.type"] ?? "");
  if (JSON.stringify(errors) !== JSON.stringify(publish)) {
    wrong.push(`spans of message ${place}: ${JSON.stringify(errors)}, the model: ${publish}`);
  }
  const verdicts = below.filter(({ name }) => name === "policy")
    .map(({ attributes }) => attributes["arqon.policy.verdict"]);
  if (JSON.stringify(verdicts) !== JSON.stringify(policies)) {
    wrong.push(`verdicts of message ${place}: ${verdicts}, the model: ${policies}`);
  }
  if (row.trace === "no") return wrong;
  const is_sent = below.some(({ name }) => name === "send");
  if (is_sent !== (fateOf(row, message).refusal === "")) {
    wrong.push(`message ${place} ${is_sent ? "is" : "is not"} sent to the Spine`);
  }
  const is_below = own.every(({ trace_id, parent_span_id }) =>
    trace_id === traceIdOf(trace, place) && parent_span_id === CLIENT_SPAN
  );
  if (!is_below) wrong.push(`message ${place} is not below its publisher's span`);
  return wrong;
}

/** docs/tracing.md: the spans of messages with ids or a trace of their own. */
async function compareTraces(stage: Stage): Promise<string[]> {
  if (stage.collector === undefined) return [];
  const messages = messagesOf(stage.row)
    .filter(({ message_id }) => message_id !== undefined || stage.row.trace === "yes");
  let wrong: string[] = [];
  const isRight = () => {
    const spans = spansOf(stage);
    wrong = messages.flatMap((one) => wrongTrace(stage, one, spans));
    return wrong.length === 0;
  };
  return await until("all spans come", isRight, COUNTED_MS).then(() => [], () => wrong);
}

/** A Shield's default for metering. */
const MEMORY_PAGES = 64;
const REPLAY_MS = 120_000;

/** With an additional custom section: an equivalent module with another hash. Used by rollouts. */
export const twinOf = (module: Uint8Array) => new Uint8Array([...module, 0, 2, 1, 0x78]);

/** A completed row. */
interface RowAt {
  readonly row: Row;
  readonly tenant: string;
}

/**
 * docs/replay.md: modules reproduce their journaled decisions, without one difference; after faults the journal may
 * have holes.
 */
export async function replayed(
  { admin, modules }: Pick<Ground, "admin" | "modules">,
  rows: readonly RowAt[],
  may_have_holes = false,
): Promise<void> {
  for (const name of ["policy", "replace"] as const) {
    const tenants = rows.filter(({ row }) =>
      // A replay cannot check what was replaced and not kept.
      row.journal === "keep" &&
      (row.gate === name || name === "policy" && row.gate === "schema_policy")
    ).map(({ tenant }) => tenant);
    if (tenants.length === 0) continue;
    const texts = async function* () {
      for (const tenant of tenants) {
        const { text } = await admin.get(`/v1/journal?tenant=${tenant}&payload=1`);
        // The last line marks the end of the answer.
        yield new TextEncoder().encode(`${text.trimEnd().split("\n").slice(0, -1).join("\n")}\n`);
      }
    };
    const { sha256, bytes } = modules[name];
    const bytesOf = (wanted: string) =>
      Promise.resolve(wanted === sha256 ? bytes : twinOf(bytes) as typeof bytes);
    const moduleOf = createModuleBook(bytesOf, MEMORY_PAGES);
    const candidate = await moduleOf(sha256);
    const tally = await replay({
      chunks: journalChunks(texts(), "the rows' journals"),
      selection: { policy: name },
      candidate: candidate!,
      moduleOf,
      threads: 1,
      signal: AbortSignal.timeout(REPLAY_MS),
      onProgress() {},
    });
    const { samples, ...recorded } = tally.recorded;
    const { repeated, same, stateful_fuel } = recorded;
    const is_whole = repeated > 0 && tally.missing + tally.unknown_holes === 0;
    const is_known = Object.keys(recorded.no_module).length === 0;
    // docs/replay.md: for modules that may keep memory, differences in fuel alone are not failures.
    const is_same = same + stateful_fuel === repeated;
    if (is_same && is_known && (is_whole || may_have_holes)) continue;
    const shown = { ...recorded, samples: samples.slice(0, 2) };
    throw new Error(`replay of ${name}: ${JSON.stringify(shown)}`);
  }
}
