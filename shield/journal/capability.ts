/** The journal capability of a Shield. */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Env } from "../../shared/env.ts";
import { METER_VERSION } from "../../wasm/metering/meter_costs.ts";
import type { LivingPart, OwnLife } from "../../shared/lives/own_life.ts";
import type { RoomClasses } from "../../shared/rooms/classes.ts";
import { Journal, TermsOf, type TermsParts } from "./journal.ts";
import { JournalQueue, JournalTotals } from "./queue.ts";
import { JournalPlace, JournalRules } from "./journal_place.ts";
import { actionsOf, type Capability } from "../capability.ts";
import { type LiveKey, liveKeysOf } from "../../shared/config/keys/live_keys.ts";
import { canonicalJson } from "../../shared/canonical_json.ts";
import { payloadHash } from "../../shared/proof/entry.ts";
import { MIRROR } from "../mirror/capability.ts";
import { RATE_KEYS } from "../rates/rates.ts";
import {
  linesOf,
  OUTCOMES,
  parsePlace,
  placeText,
  readingOf,
  readJournal,
  readNewest,
} from "./admin/read.ts";
import type { JournalEnd, JournalPlaceText, JournalQuery } from "./admin/read.ts";
import { ArqonError, DecodeError, type PlainEnvelope, readEnvelope } from "@arqon/proto";
import { z } from "zod";
import type { Settings } from "../settings/settings.ts";
import { isHole } from "../../shared/journal/record.ts";
import type { JournalLine, JournalRecord, PolicyRecord } from "../../shared/journal/record.ts";
import { readValue } from "../../shared/listeners/request_body.ts";
import { type AdminCall, AdminTable, inBody, jsonBody } from "../admin/routing/admin_routes.ts";
import {
  boundedText,
  checked,
  Id,
  limitOf,
  readQuery,
  wholeNumber,
} from "../admin/routing/query.ts";
import { about, BOOLEAN, COUNT, ID, object, TEXT } from "../openapi/openapi_parts.ts";
import type { Schema } from "../openapi/openapi_parts.ts";
import type { DurableLog } from "../../shared/spine/contract/durable_log.ts";
import { readable } from "../../shared/spine/contract/read_page.ts";
import { readPage } from "../../shared/spine/contract/read_page.ts";
import { slice } from "../../shared/turns/slices.ts";

/** How long closing waits for the last blocks, in ms. */
const CLOSE_MS = 5_000;
/** The longest time between the start of a decision and its record, in ms: a policy may take a while. */
const IN_DECISION_MS = 1_000;

interface JournalStart
  extends Pick<Env, "spine" | "registry" | "log" | "node_id" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "journal" | "platform" | "policy" | "limits" | "quota">;
  readonly classes: Pick<RoomClasses, "of">;
  readonly actions: NonNullable<TermsParts["actions"]>;
  readonly settings?: Pick<Settings, "get" | "deletions">;
  /** The mirror's rules; absent: no mirror. */
  readonly mirror?: TermsParts["mirror"];
  readonly life: Pick<OwnLife, "begin" | "lives" | "node_id" | "began_ms">;
}

interface StartedJournal {
  readonly journal: Journal;
  /** For its admin API: its store and keys, for readers. */
  readonly admin: {
    readonly place: JournalPlace;
    readonly node_id: string;
    readonly log: Logger;
  };
  /** Applies the journal settings of the current configuration. */
  renew(): void;
  /** Stores what is queued, then ends; decisions are accepted until then. Never rejects. */
  close(): Promise<void>;
}

function startJournal(start: JournalStart): StartedJournal {
  const { config, registry, node_id, now, monotonic_ms, classes } = start;
  const { fuel_limit } = config.platform.overseer;
  const { chain_fuel_limit } = config.policy;
  const log = start.log.child({ part: "journal" });
  const place = new JournalPlace({ ...start, lives: start.life.lives, own: start.life, log });
  const totals = new JournalTotals();
  const queue = new JournalQueue({
    owner: { node: node_id, meter_version: METER_VERSION, fuel_limit, chain_fuel_limit },
    store: () => place.store(),
    keys: () => place.keys(),
    queue_bytes: config.journal.queue_bytes,
    flush_ms: config.journal.flush_ms,
    totals,
    log,
    now,
    monotonic_ms,
  });
  // If there was no decision, none can be missing.
  let living: LivingPart | undefined;
  totals.register(registry, () => queue.bytes, () => place.keys_held, () => place.unkept);
  const rules = new JournalRules(config.journal);
  const first_writes: Pick<JournalQueue, "write"> = {
    write(tenant_id, keeping, entry) {
      living ??= start.life.begin("journal", () => queue.sure_ms - IN_DECISION_MS);
      queue.write(tenant_id, keeping, entry);
    },
  };
  const terms = new TermsOf(start);
  const stop = start.settings?.deletions.onDeleted((tenant_id) => {
    // Without a decision there is nothing to forget.
    if (living === undefined) return;
    queue.forget(tenant_id).catch((error) => {
      log.warn("decisions about a deleted tenant stay in the journal", { tenant_id, error });
    });
  });
  return {
    journal: new Journal({ rules, classes, queue: first_writes, terms, now }),
    admin: { place, node_id, log },
    renew() {
      rules.renew();
      terms.renew();
    },
    async close() {
      stop?.();
      const is_whole = await queue.close(CLOSE_MS);
      living?.end(is_whole);
      await place.close();
    },
  };
}

/** The live keys: which decisions are written, and the settings that every decision depends on. */
const KEYS: readonly LiveKey[] = [
  ...RATE_KEYS,
  ...liveKeysOf("quota"),
  ...liveKeysOf("journal"),
];

/** Largest body, in bytes. */
const BODY_BYTES = 4_096;

const LINES_MAX = 10_000;
/** Characters that are written in one piece, unless a single line has more. */
const CHUNK_CHARS = 65_536;
const encoder = new TextEncoder();
const TIME_OR_NULL: Schema = { type: ["number", "null"] };

/** The context of the journal's routes; `logs` has the payloads of durable rooms. */
interface JournalAdminContext extends Pick<Env, "log" | "node_id"> {
  readonly place: JournalPlace;
  readonly logs: LogsOf;
}

const Place = z.string().transform((text, context): JournalPlaceText => {
  const place = parsePlace(text);
  if (place !== undefined) return place;
  context.addIssue({ code: "custom", message: "expected `next` of a previous answer" });
  return z.NEVER;
});

const Tenant = { tenant: Id.describe("the tenant") };
const Wanted = {
  ...Tenant,
  room: Id.optional().describe("only decisions about this room"),
  user: boundedText(256, "only decisions about this user"),
  connection: Id.optional().describe("only decisions about this connection"),
  trace: z.string().regex(/^[0-9a-f]{32}$/, { error: "expected 32 lower-case hex digits" })
    .optional().describe("only decisions of this W3C trace"),
  message_id: boundedText(256, "only decisions about this message"),
  policy: boundedText(64, "only decisions in which this policy ran"),
  outcome: z.enum(OUTCOMES, { error: `expected one of ${OUTCOMES.join(", ")}` }).optional()
    .describe("outcome"),
  since_ms: wholeNumber("not before this time"),
  until_ms: wholeNumber("not after this time"),
  after: Place.optional().meta(about("`next` of the previous answer", TEXT)),
  limit: limitOf(LINES_MAX, 1_000, "number of lines"),
  newest: z.enum(["0", "1"], { error: "expected 0 or 1" }).default("0")
    .describe("1: the newest lines, still oldest block first; excludes `after`"),
  payload: z.enum(["0", "1"], { error: "expected 0 or 1" }).default("0")
    .describe("1: with payloads from rooms' logs"),
};
const Erased = z.strictObject({ tenant: Id, user: z.string().min(1).max(256) });

/** The routes of the journal's admin API. */
export const JOURNAL_ROUTES = new AdminTable<JournalAdminContext>("journal", {
  "GET /v1/journal": {
    audit: { read: "journal.read" },
    id: "readJournal",
    summary:
      "reads decisions with their inputs, one per line, oldest block first; the last line has the cursor of the next page",
    query: Wanted,
    answer: TEXT,
    type: "application/x-ndjson",
    scope: "tenant-in-query",
    handle: read,
  },
  "GET /v1/journal/status": {
    id: "journalStatus",
    summary: "shows the size of a tenant's journal",
    query: Tenant,
    answer: object({
      node_id: ID,
      tenant: ID,
      blocks: COUNT,
      bytes: COUNT,
      first_ms: TIME_OR_NULL,
      last_ms: TIME_OR_NULL,
    }),
    scope: "tenant-in-query",
    handle: status,
  },
  "POST /v1/journal/erase": {
    audit: "journal.erase",
    id: "eraseFromJournal",
    summary: "deletes the keys of a user, which makes the user's data in the journal unreadable",
    answer: object({ node_id: ID, tenant: ID, erased: BOOLEAN }),
    ...inBody(
      jsonBody(
        Erased,
        async (request, schema) => checked(await readValue(request, BODY_BYTES), schema),
      ),
      erase,
    ),
  },
});

async function read(context: JournalAdminContext, call: AdminCall): Promise<Response> {
  const { payload, newest, ...query } = readQuery(call.url, Wanted) satisfies JournalQuery;
  const { place, logs, log } = context;
  if (newest === "1" && query.after !== undefined) {
    throw new ArqonError("invalid-settings", "after: excluded by the newest lines");
  }
  const reading = readingOf(place);
  const pages = newest === "1" ? readNewest(reading, query) : readJournal(reading, query);
  const shown = async (lines: readonly JournalLine[]) =>
    payload === "1" ? await withPayloads(lines, logs) : lines;
  // An immediate failure gets an error answer; after that, only the last line is missing.
  const first = await pages.next();
  const opening = first.done === true ? [] : await shown(first.value);
  log.info("an operator reads a journal", { tenant_id: query.tenant, by: call.by });
  const stream = ReadableStream.from(encoded(query.tenant, opening, first, pages, shown));
  return new Response(stream, { headers: { "content-type": "application/x-ndjson" } });
}

type Pages = ReturnType<typeof readJournal>;

/** The answer's bytes, in slices of the tenant: a line may have a hundred kilobytes. */
async function* encoded(
  tenant_id: string,
  opening: readonly JournalLine[],
  first: IteratorResult<readonly JournalLine[], JournalEnd>,
  pages: Pages,
  shown: (lines: readonly JournalLine[]) => Promise<readonly JournalLine[]>,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  let lines = opening;
  let step = first;
  try {
    for (; step.done !== true; step = await pages.next()) {
      if (step !== first) lines = await shown(step.value);
      let text = "";
      for (const line of lines) {
        text += `${JSON.stringify(line)}\n`;
        if (text.length < CHUNK_CHARS) continue;
        yield encoder.encode(text);
        text = "";
        await slice(tenant_id);
      }
      if (text !== "") yield encoder.encode(text);
    }
    yield encoder.encode(`${JSON.stringify(endOf(step.value))}\n`);
  } finally {
    // The reader may have disconnected.
    await pages.return({ next: { block: 0, lines: undefined }, is_end: false, is_cut: true });
  }
}

/** The last line of every complete answer. */
function endOf({ next, ...end }: JournalEnd): unknown {
  return { next: placeText(next), ...end };
}

async function status(
  { place, node_id }: JournalAdminContext,
  { url }: AdminCall,
): Promise<Response> {
  const { tenant } = readQuery(url, Tenant);
  const { blocks, bytes, first_ms, last_ms } = await (await place.store()).status(tenant);
  const times = { first_ms: first_ms ?? null, last_ms: last_ms ?? null };
  return Response.json({ node_id, tenant, blocks, bytes, ...times });
}

async function erase(
  { place, log, node_id }: JournalAdminContext,
  { by }: AdminCall,
  { tenant, user }: z.output<typeof Erased>,
): Promise<Response> {
  const erased = await (await place.keys()).erase(tenant, user);
  // Only the audit log names the user.
  log.info("a user was erased from the journal", { tenant_id: tenant, by, keys: erased });
  return Response.json({ node_id, tenant, erased: erased > 0 });
}

/** Messages and bytes of one read of a log. */
const READ = { limit: 64, max_bytes: 524_288 };

/** Opens the logs of a tenant. */
interface LogsOf {
  of(tenant_id: string): Promise<Pick<DurableLog, "head" | "read">>;
}

/**
 * The largest difference between a message's timestamp and the start of its decision: hooks take up to 10 s, a frame's
 * time is that of its arrival, and clocks jump.
 */
const STAMPED_WITHIN_MS = 60_000;

type Referring = JournalRecord & {
  readonly offset: number;
  readonly sender: NonNullable<JournalRecord["sender"]>;
  readonly payload: Extract<JournalRecord["payload"], { form: "reference" }>;
};

/**
 * Whether the log is searched for the payload: not for an erased user, and not for a payload that a policy replaced.
 */
function isReferring(line: JournalLine): line is Referring {
  return !isHole(line) && line.payload.form === "reference" && line.offset !== null &&
    line.sender !== null && !line.policies.some(isReplacing);
}

function isReplacing({ payload, is_payload_missing }: PolicyRecord): boolean {
  return payload !== null || is_payload_missing === true;
}

/** The lines, with payloads instead of references. Rejects as the logs do. */
async function withPayloads(lines: readonly JournalLine[], logs: LogsOf): Promise<JournalLine[]> {
  const found = new Map<Referring, JournalRecord["payload"]>();
  const by_room = Map.groupBy(lines.filter(isReferring), ({ tenant, room }) => `${tenant} ${room}`);
  for (const records of by_room.values()) {
    await readRoom(records.toSorted((a, b) => a.offset - b.offset), logs, found);
  }
  return lines.map((line) => {
    const payload = isReferring(line) ? found.get(line) : undefined;
    return payload === undefined ? line : { ...line, payload };
  });
}

/** Reads the messages for records of one room, sorted by offset. */
async function readRoom(
  records: readonly Referring[],
  logs: LogsOf,
  found: Map<Referring, JournalRecord["payload"]>,
): Promise<void> {
  const [first] = records;
  if (first === undefined) return;
  const log = await logs.of(first.tenant);
  for (let at = 0; at < records.length;) {
    // Of most rooms a page of the journal has few lines: more would be read for nothing.
    const limit = Math.min(READ.limit, records.length - at);
    const from = { ...READ, limit, after: records[at]!.offset - 1 };
    await slice(first.tenant);
    const { messages } = await readPage(log, first.room, from, records.at(-1)!.offset);
    const by_offset = new Map(messages.map(({ offset, payload }) => [offset, payload]));
    const read_to = messages.at(-1)?.offset ?? Infinity;
    for (; at < records.length && records[at]!.offset <= read_to; at++) {
      const record = records[at]!;
      const envelope = by_offset.get(record.offset);
      const data = envelope === undefined ? undefined : dataOf(envelope, record);
      found.set(
        record,
        data === undefined
          ? { ...record.payload, is_gone: true }
          : { form: "kept", data: data.toBase64() },
      );
    }
  }
}

/** The payload of the record's message; undefined if a recreated log has another message at that offset. */
function dataOf(stored: Uint8Array, record: Referring): Uint8Array | undefined {
  try {
    const envelope = readEnvelope(readable(stored));
    const { event, message_id } = envelope;
    const is_own = record.message_id === null && message_id === ""
      ? isAlike(record, envelope)
      : record.message_id === message_id;
    return is_own ? event?.data : undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Whether a message without an id is the record's, by all fields that both have. */
function isAlike(
  record: Referring,
  { event, sender_id, timestamp_ms, trace_id }: PlainEnvelope,
): boolean {
  return event !== undefined && event.type === record.type &&
    event.content_type === record.content_type && event.data.length === record.payload.bytes &&
    sender_id === record.sender.user && (record.trace === null || record.trace === trace_id) &&
    Math.abs(timestamp_ms - record.time_ms) < STAMPED_WITHIN_MS;
}

/** The journal of decisions about messages. */
export const JOURNAL: Capability<StartedJournal> = {
  name: "journal",
  title: "decisions about messages",
  config: ["journal"],
  room_class: ["journal", "journal_share", "journal_ttl_seconds", "journal_payload"],
  stores: ["ARQON_JOURNAL", "ARQON_JOURNAL_KEYS"],
  admin: { tables: [JOURNAL_ROUTES], tags: { journal: "decisions about messages" } },
  open(env, { node_id, life, rooms: { classes }, settings, running }) {
    const mirror = running.of(MIRROR)?.admin?.rules;
    const actions = actionsOf(env.capabilities);
    const started = startJournal({ ...env, node_id, life, classes, actions, settings, mirror });
    const { journal, admin, renew, close } = started;
    const { place } = admin;
    return {
      own: started,
      gives: { journal },
      observer: journal,
      keeps: [{
        name: "journal",
        open: () => place.store(),
        stays: "all decisions, until [journal] retention_days: the journal does not erase by room",
        eraseUser: async (tenant_id, user_id) =>
          await (await place.keys()).erase(tenant_id, user_id),
        leavesOf: async (tenant_id, block) =>
          (await linesOf({ keys: () => place.keys() }, tenant_id, block))
            .map((line) => ({ sha256: payloadHash(canonicalJson(line)) })),
      }],
      start: ({ logs }) => ({
        routes: JOURNAL_ROUTES.serve({ ...admin, logs }),
        follow: (changes) => changes.follow(KEYS, renew),
      }),
      close,
    };
  },
};
