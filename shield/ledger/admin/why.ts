/**
 * `GET /v1/why`: how a message was admitted, which Shields received it and its outcome for each connection of a user,
 * or the messages that a user was due in a room. It asks all Shields; `shield/ledger/` has their deliveries,
 * `shield/journal/` the decisions.
 */
import {
  about,
  answerOf,
  BOOLEAN,
  COUNT,
  ID,
  list,
  object,
  ref,
  TEXT,
  UNIX_MS,
} from "../../openapi/openapi_parts.ts";
import { ArqonError, DecodeError, readEnvelope } from "@arqon/proto";
import { z } from "zod";
import {
  byOwnClock,
  surelyAhead,
  WHY_MESSAGES_MAX,
  WhyRead,
  WhyReport,
} from "../../../shared/cluster/cluster_why.ts";
import type {
  AskedMessage,
  WhyFind,
  WhyMessage,
  WhyUser,
} from "../../../shared/cluster/cluster_why.ts";
import type { ClusterAsker } from "../../../shared/cluster/cluster_asker.ts";
import type { Env } from "../../../shared/env.ts";
import { type JournalReading, parsePlace } from "../../journal/admin/read.ts";
import { WayIn, wayIn } from "../../journal/admin/admission_trace.ts";
import type { FormerReading } from "../former_ledgers.ts";
import { FormerAnswers } from "./why_former.ts";
import type { OpenConnection } from "../history.ts";
import type { Parts } from "../../capability.ts";
import { type AdminCall, AdminTable } from "../../admin/routing/admin_routes.ts";
import { boundedText, Id, readQuery, wholeNumber } from "../../admin/routing/query.ts";
import { bothOf, Clocks, firstOf, type FoundMessage, WhyQuestions } from "./why_ask.ts";
import type { DurableLog, LogMessage } from "../../../shared/spine/contract/durable_log.ts";
import { pagesBack, readable } from "../../../shared/spine/contract/read_page.ts";
import type { RoomClasses } from "../../../shared/rooms/classes.ts";
import { slice } from "../../../shared/turns/slices.ts";
import { awaitedLater } from "../../../shared/awaited_later.ts";
import { within } from "../../../shared/within.ts";

/** 32 hex digits, with the dashes of a UUID or without. */
const HEX = /^[0-9a-f]{32}$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const Hex = z.string().regex(HEX, { error: "expected 32 hex digits" });

/** The timeout of a room's log, in ms, as for all Shields; one message is read within it. */
const LOG_MS = 900;
const LOG_AT_MS = 300;

const QUERY = {
  tenant: Id.optional().describe("the tenant; absent: the token's tenant"),
  trace: Hex.optional().meta(about("messages with this trace id", TEXT)),
  twist: Hex.optional().meta(about("the message with this X-Twist-ID", TEXT)),
  message_id: boundedText(1_024, "messages with this message_id"),
  room: Id.optional().describe("the room; required with offset and since_ms"),
  // Offset 0 names no message: all messages of rooms that are not durable have it.
  offset: wholeNumber("the message at this offset", 1),
  user: boundedText(256, "the outcome for the connections of this user"),
  connection: Id.optional().describe("the outcome for this connection"),
  address: boundedText(100, "refused handshakes and operations from this address"),
  after: z.string().transform((text, context) => {
    const place = parsePlace(text);
    if (place !== undefined) return place;
    context.addIssue({ code: "custom", message: "expected `way_in.next` of a previous answer" });
    return z.NEVER;
  }).optional().meta(about("`way_in.next` of the previous answer: continues in the journal", TEXT)),
  since_ms: wholeNumber("with room and user or connection: all messages since then, Unix ms"),
};
type Query = z.output<z.ZodObject<typeof QUERY>>;

interface WhyContext extends WhyLogContext, Pick<Env, "log" | "now"> {
  readonly asker: ClusterAsker;
  readonly journal: JournalReading | undefined;
  /** The ledgers of ended Shields; absent: not stored. */
  readonly former: FormerReading | undefined;
  /** This Shield, whose clock is the reference for the others. */
  readonly node_id: string;
  /** Unix ms by the ledger's clock, which does not jump when the clock of `now` does. */
  readonly ledgerNow: () => number;
}

const { rows: { element: Row }, refusals: { element: Refusal } } = WhyReport.shape;
const node_id = Row.shape.connection_id;

const MESSAGE = object({
  room_id: ID,
  offset: COUNT,
  trace_id: TEXT,
  twist_id: TEXT,
  message_id: TEXT,
  duplicate: BOOLEAN,
  heard: list(object({ node_id: ID, time_ms: UNIX_MS, here_ms: UNIX_MS })),
  stored_ms: UNIX_MS,
}, ["stored_ms"]);

/** The route. */
export const WHY_ROUTES = new AdminTable<WhyContext>("cluster", {
  "GET /v1/why": {
    audit: "why.read",
    id: "why",
    summary: "explains how a message was admitted and its outcome, or those of a user's messages",
    query: QUERY,
    answer: object({
      tenant_id: ID,
      way_in: { anyOf: [answerOf(WayIn), { type: "null" }] },
      messages: list(MESSAGE),
      connections: list(answerOf(Row.extend({ node_id }))),
      reads: list(answerOf(WhyRead.extend({ node_id }))),
      refusals: list(answerOf(Refusal.extend({ node_id }))),
      ledgers: list(object({
        node_id: ID,
        since_ms: { anyOf: [UNIX_MS, { type: "null" }] },
        now_ms: UNIX_MS,
        ahead_ms: { type: "integer" },
        within_ms: COUNT,
      })),
      here: ID,
      former: list(object({
        node_id: ID,
        life_ms: UNIX_MS,
        since_ms: UNIX_MS,
        until_ms: UNIX_MS,
        by_ms: UNIX_MS,
        state: { type: "string", enum: ["ended", "killed", "silent"] },
      })),
      nodes: ref("Nodes"),
      truncated: BOOLEAN,
    }),
    refusals: [429],
    scope: "own",
    handle: why,
  },
});

/** The open connections that a question is about. */
export function openOf(
  { connections, hub, rooms: { classes } }: Pick<Parts, "connections" | "hub" | "rooms">,
  query: WhyUser,
): OpenConnection[] {
  const { tenant, user, connection } = query;
  if (tenant === undefined) return [];
  const one = connection === undefined ? undefined : connections.ofTenant(tenant, connection);
  const found = one !== undefined
    ? [one]
    : connection === undefined && user !== undefined
    ? connections.ofUser(tenant, user)
    : [];
  return found.filter(({ ended }) => !ended).map((open) => ({
    number: open.number,
    connection_id: open.id,
    user_id: open.identity.user_id,
    remote_ip: open.caller.remote_ip,
    began_ms: open.noted_ms,
    batch: open.outbox?.has_batches ?? false,
    subscription: (room_id) =>
      (open.subscriptions.get(room_id) ?? hub.patterns?.of(open)?.subscriber(room_id))?.mark,
    waits: (room_id) => {
      const waits = open.outbox?.waits(room_id);
      if (waits?.listed !== undefined) return waits;
      // A newer message may have been sent instead of an older one.
      const is_latest = classes.of(tenant, room_id).slow_reader === "latest";
      return waits && is_latest ? { ...waits, listed: new Set() } : waits;
    },
  }));
}

/** Answers `GET /v1/why`. */
async function why(context: WhyContext, call: AdminCall): Promise<Response> {
  const query = readQuery(call.url, QUERY);
  const { only_tenant } = call;
  const tenant = query.tenant ?? only_tenant ?? call.tenant_id;
  requireSense(query, only_tenant);
  const clocks = new Clocks(context.node_id);
  const questions = new WhyQuestions(context.asker, clocks);
  using former = new FormerAnswers(context, query.address === undefined ? tenant : undefined);
  const found = names(query)
    ? await questions.find(findOf(query, tenant), (params, lives) => former.find(params, lives))
    : undefined;
  const log = new WhyLog(context, tenant, query.room ?? "");
  const messages = found === undefined ? [] : await orLogged(log, query, found.early.messages);
  const question = userOf(query, tenant, messages, clocks, context);
  const { since_ms } = question ?? {};
  const logged = awaitedLater(
    since_ms === undefined ? Promise.resolve([]) : log.newest(since_ms, LOG_MS),
  );
  const [living, way_in, whole] = await Promise.all([
    question && questions.ask(question, async (user, lives) => ({
      former: await former.rooms(user, lives),
      logged: (await logged).map((one) => [one.time_ms, one.offset, one.twist_id, false]),
    })),
    found && context.journal && wayInOf(context.journal, query, tenant, messages),
    found?.whole,
  ]);
  const gone = await former.tell(
    question,
    questions.lives,
    (rooms) => question === undefined ? [] : questions.missingOf(question, rooms),
  );
  return Response.json({
    tenant_id: tenant,
    way_in: way_in ?? null,
    messages: (whole?.messages.length === 0 ? messages : whole?.messages ?? []).map((one) => ({
      ...one,
      heard: onceEach(one.heard).map(({ node_id, time_ms }) => ({
        node_id,
        time_ms,
        here_ms: clocks.here(node_id, time_ms),
      })),
    })),
    connections: [...living?.connections ?? [], ...gone.connections],
    reads: [...living?.reads ?? [], ...gone.reads],
    refusals: [...living?.refusals ?? [], ...gone.refusals],
    ledgers: [...questions.reaches.values()].sort((a, b) => a.node_id < b.node_id ? -1 : 1)
      .map((reach) => ({ ...reach, ...clocks.of(reach.node_id) })),
    former: gone.shown,
    here: context.node_id,
    nodes: bothOf(living?.nodes, whole?.nodes),
    truncated: living?.truncated === true || whole?.truncated === true || gone.truncated,
  });
}

/** The found messages; if no Shield has any, those in the room's log, if the room is named. */
async function orLogged(
  log: WhyLog,
  query: Query,
  found: readonly FoundMessage[],
): Promise<readonly FoundMessage[]> {
  const { room, offset } = query;
  if (found.length > 0 || room === undefined || !names(query)) return found;
  const stored = offset === undefined
    ? (await log.newest(0, LOG_AT_MS)).filter(meantBy(query)).slice(-WHY_MESSAGES_MAX)
    : [await log.at(offset, LOG_AT_MS) ?? []].flat();
  return stored.map(({ time_ms: stored_ms, ...ids }) => ({
    ...ids,
    duplicate: false,
    heard: [],
    stored_ms,
  }));
}

/** Whether a stored message has the requested id. */
function meantBy({ trace, twist, message_id }: Query): (message: StoredMessage) => boolean {
  const digits = (text: string) => text.replaceAll("-", "").toLowerCase();
  return (one) =>
    message_id !== undefined
      ? one.message_id === message_id
      : trace !== undefined
      ? digits(one.trace_id) === digits(trace)
      : digits(one.twist_id) === digits(twist ?? "none");
}

/** The deliveries once each: a late Shield reports the same as it has stored. */
const onceEach = (receipts: FoundMessage["heard"]): FoundMessage["heard"] =>
  receipts.filter(({ node_id, time_ms }, at) =>
    at === receipts.findIndex((one) => one.node_id === node_id && one.time_ms === time_ms)
  );

/** The journal's decisions about the requested messages. */
function wayInOf(
  journal: JournalReading,
  { trace, twist, message_id, room, offset, after }: Query,
  tenant: string,
  found: readonly FoundMessage[],
): Promise<WayIn> {
  // A message that no Shield received was decided when it was stored.
  const sought = found.map(({ stored_ms, heard, ...ids }) => ({
    ...ids,
    heard: stored_ms === undefined ? heard : [{ time_ms: stored_ms }],
  }));
  return wayIn(journal, { tenant, trace, twist, message_id, room, offset, after, found: sought });
}

const names = ({ trace, twist, message_id, offset }: Query) =>
  [trace, twist, message_id, offset].some((one) => one !== undefined);

/** Throws `invalid-settings` for an empty query, or one with members that exclude each other. */
function requireSense(query: Query, only_tenant: string | undefined): void {
  const { trace, twist, message_id, room, offset, user, connection, address, since_ms, after } =
    query;
  const wrong = (detail: string): never => {
    throw new ArqonError("invalid-settings", detail);
  };
  const ids = [trace, twist, message_id, offset].filter((one) => one !== undefined);
  const whose = [user, connection, address].filter((one) => one !== undefined);
  if (ids.length > 1) wrong("expected one of trace, twist, message_id and offset");
  if (whose.length > 1) wrong("expected one of user, connection and address");
  if (ids.length + whose.length === 0) {
    wrong("expected trace, twist, message_id or offset, or user, connection or address");
  }
  if (after !== undefined && ids.length === 0) wrong("after: needs a message");
  if (offset !== undefined && room === undefined) wrong("offset: needs room");
  if (since_ms !== undefined && ids.length > 0) {
    wrong("since_ms: needs room and user or connection, and no message");
  }
  if (address !== undefined && only_tenant !== undefined) {
    wrong("address: only for operators of the whole bus");
  }
}

const findOf = (query: Query, tenant: string): WhyFind => {
  const { trace, twist, message_id, room, offset } = query;
  return defined({ tenant, trace, twist, message_id, room, offset }) as WhyFind;
};

/** The object without undefined members, as answers and queries are strict. */
function defined(value: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined));
}

function userOf(
  { user, connection, address, room, since_ms, offset }: Query,
  tenant: string,
  messages: readonly FoundMessage[],
  clocks: Clocks,
  { now, ledgerNow }: Pick<WhyContext, "now" | "ledgerNow">,
): WhyUser | undefined {
  if (user === undefined && connection === undefined && address === undefined) return undefined;
  const due = messages.filter(({ duplicate }) => !duplicate);
  const wanted: AskedMessage[] = due.map((one) => {
    const { duplicate: _, heard: __, stored_ms: ___, ...ids } = one;
    const { heard: [first] } = one;
    const ahead_ms = surelyAhead(clocks.of(first?.node_id ?? "")?.ahead_ms ?? 0);
    return { ...ids, time_ms: firstOf(one) - ahead_ms };
  });
  // No Shield has received it live, but a client may have read it from the room's log.
  if (wanted.length === 0 && offset !== undefined && room !== undefined) {
    const unknown = { twist_id: "", trace_id: "", message_id: "", time_ms: 0 };
    wanted.push({ room_id: room, offset, ...unknown });
  }
  const of_tenant = address === undefined ? tenant : undefined;
  const whose = { tenant: of_tenant, user, connection, address };
  const { since_ms: since } = byOwnClock({ since_ms, now_ms: now() }, ledgerNow());
  return defined({
    ...whose,
    messages: wanted,
    room,
    since_ms: since,
    now_ms: ledgerNow(),
  }) as WhyUser;
}

// Messages in the logs of durable rooms that no Shield reports, since all receivers are gone, or there was none: a part
// of `GET /v1/why`. It reads a limited part of a log within a limited time.

/** The most messages that one request reads from a log, the newest ones. */
const MESSAGES_MAX = 2_000;
const PAGE = { limit: 500, max_bytes: 1_048_576 };
const MESSAGES_A_PIECE = 32;
const TWIST = "x-twist-id";

/** A message in its room's log, stored at `time_ms` by the log's clock. */
type StoredMessage = Omit<WhyMessage, "duplicate">;

interface WhyLogContext {
  readonly logs: { of(tenant_id: string): Promise<Pick<DurableLog, "read" | "readBack">> };
  readonly classes: Pick<RoomClasses, "of">;
}

/** The log of one room, for one request. */
class WhyLog {
  readonly #context: WhyLogContext;
  readonly #place: { readonly tenant_id: string; readonly room_id: string };

  constructor(context: WhyLogContext, tenant_id: string, room_id: string) {
    this.#context = context;
    this.#place = { tenant_id, room_id };
  }

  /**
   * The message with that offset; undefined if the room is not durable, its log no longer has it, or does not answer in
   * time.
   */
  async at(offset: number, within_ms: number): Promise<StoredMessage | undefined> {
    return await this.#read(within_ms, undefined, async (log) => {
      const { room_id } = this.#place;
      const { messages } = await log.read(room_id, { ...PAGE, after: offset - 1, limit: 1 });
      return messages.filter((one) => one.offset === offset).map((one) => factsOf(room_id, one))[0];
    });
  }

  /** The newest messages since then, the oldest first; none in the cases of `at`. */
  newest(since_ms: number, within_ms: number): Promise<StoredMessage[]> {
    return this.#read<StoredMessage[]>(within_ms, [], (log) => this.#readBack(log, since_ms));
  }

  async #readBack(log: Pick<DurableLog, "readBack">, since_ms: number): Promise<StoredMessage[]> {
    const { tenant_id, room_id } = this.#place;
    const found: StoredMessage[] = [];
    for await (const { messages } of pagesBack(log, room_id, { ...PAGE, before: 0 })) {
      const young = messages.filter(({ time_ms }) => time_ms >= since_ms);
      const facts: StoredMessage[] = [];
      for (const [at, one] of young.entries()) {
        if (at % MESSAGES_A_PIECE === 0) await slice(tenant_id);
        facts.push(...[factsOf(room_id, one) ?? []].flat());
      }
      found.unshift(...facts);
      if (young.length < messages.length || found.length >= MESSAGES_MAX) break;
    }
    return found;
  }

  /** The result of a read, or `otherwise` after the timeout. */
  async #read<T>(
    within_ms: number,
    otherwise: T,
    read: (log: Pick<DurableLog, "read" | "readBack">) => Promise<T>,
  ): Promise<T> {
    const { logs, classes } = this.#context;
    const { tenant_id, room_id } = this.#place;
    if (!classes.of(tenant_id, room_id).durable) return otherwise;
    const reading = logs.of(tenant_id).then(read).catch((error) => {
      // The ledgers' answer is valid without the log's.
      if (error instanceof ArqonError) return otherwise;
      throw error;
    });
    return await within(within_ms, reading, () => otherwise);
  }
}

/** The ids of a stored message; undefined if it cannot be decoded. */
function factsOf(
  room_id: string,
  { offset, time_ms, payload }: LogMessage,
): StoredMessage | undefined {
  try {
    const { trace_id, message_id, headers } = readEnvelope(readable(payload));
    const [, twist_id = ""] = Object.entries(headers).find(([name]) =>
      name.toLowerCase() === TWIST
    ) ?? [];
    return { room_id, offset, time_ms, trace_id, twist_id, message_id };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
