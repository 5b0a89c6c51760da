/**
 * Room classes, filters and durable rooms, for `config.toml` and the tenants' run-time settings; what records
 * decisions, deliveries and operators (`[journal]`, `[ledger]`, `[audit]`); room programs (`[[reducers]]`).
 */
import { z } from "zod";
import { classFilterProblem } from "../filter/program.ts";
import { reducedFilter } from "../filter/reduced.ts";
import {
  always,
  count,
  fraction,
  id,
  idOrAny,
  refuseRepeated,
  roomPattern,
} from "./values/schema_values.ts";
import type { ReducerConstants } from "./keys/constants.ts";

/** How the journal is stored; other keys of `[journal]` choose what is written. */
const JournalStorage = {
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(1_073_741_824).describe(
    "size of the journal of all tenants; above, the oldest of any tenant goes; one has at most a quarter",
  ),
  retention_days: count(
    30,
    3_650,
    "age at which entries expire; users' keys expire about 30 days later",
  ),
};

/** Which decisions are written. */
const MODES = ["off", "refused", "all"] as const;

const mode = z.enum(MODES).describe("recorded decisions: none, refusals, or all");

/** The keys of a room class; an absent `journal` defaults to that of `[journal]`. */
const RoomJournal = {
  journal: mode.optional(),
  journal_share: fraction.optional().describe(
    "fraction of traces, or else connections, by the same hash as a mirror's; absent: all",
  ),
  journal_ttl_seconds: z.int().min(1).max(315_360_000).optional().describe(
    "age up to which they are kept; absent: a week",
  ),
  journal_payload: z.enum(["reference", "keep", "hash"]).optional().describe(
    "how a payload is recorded: its offset in a durable room's log, else itself (reference, also if absent); itself (keep); its SHA-256 (hash)",
  ),
};

/** `[journal]`: applies to connections, and to rooms whose class sets nothing else. */
export const Journal = z.strictObject({ journal: mode.default("off"), ...JournalStorage });

/** `[ledger]`: the deliveries that a Shield records. */
export const LedgerTable = z.strictObject({
  enabled: z.boolean().default(true).describe(
    "record deliveries for `arq why`: ids and times only",
  ),
  store: z.boolean().default(false).describe(
    "store the ledger beside the journal, so that it outlives the Shield",
  ),
  seconds: count(3_600, 604_800, "how long the ledger remembers at most"),
});

/** `[audit]`: who did what on the admin API. */
export const Audit = z.strictObject({
  on_failure: z.enum(["refuse", "allow"]).default("refuse").describe(
    "while entries cannot be written: refuse changes with 503, or allow them and write the entries later",
  ),
  retention_days: count(365, 36_500, "age at which entries go"),
  log_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(1_073_741_824).describe(
    "size of the log; above, its oldest entries go",
  ),
});

const Entry = z.strictObject({
  name: id.describe("what classes of rooms call it by"),
  file: z.string().min(1).describe(
    "the module: WebAssembly by arqon_room_v1, of `arq reducer build`",
  ),
  fuel_limit: count(
    10_000,
    1_000_000,
    "fuel per command; 10,000 is at most about 5 ms of any code",
  ),
  log_bytes: z.int().min(65_536).max(1_099_511_627_776).default(134_217_728).describe(
    "bytes of one room's log, about; above, a snapshot removes the oldest entries, except those behind the last two snapshots; of snapshots an eighth of it stays",
  ),
}).describe("a program of rooms");

/** One entry of `[[reducers]]`. */
export type ReducerEntry = z.output<typeof Entry> & ReducerConstants;

/** `[[reducers]]`. */
export const Reducers = z.array(Entry).max(1_000).superRefine(
  refuseRepeated({
    list: "reducers",
    members: ["name"],
    shown: "name",
    same: "the same name",
    expected: "expected each name once",
  }),
  always,
).default([]);

/** The keys of a class of rooms. */
const ClassReducer = {
  reducer: id.optional().describe(
    "program of [[reducers]] that runs the room: room.call writes its log, and only its events are messages of the room; needs durable, ids of up to 56 characters",
  ),
  reducer_claims: z.array(z.string().min(1).max(256)).max(32).optional().describe(
    "claims of a sender's token that the reducer may read; absent: none",
  ),
  reducer_visible: z.array(z.string().min(1).max(256)).max(32).optional().describe(
    'key prefixes whose values subscribers of the room may read and watch, ["public/"]; not with filter; absent: none',
  ),
  reducer_public: z.boolean().optional().describe(
    "whether subscribers of the room may download its module, for optimistic calls; absent: no",
  ),
};

/** Refuses visible values beside a filter: a filter restricts messages, not values. */
function refuseFilteredValues(
  { reducer_visible, filter }: {
    readonly reducer_visible?: readonly string[] | undefined;
    readonly filter?: string | undefined;
  },
  context: z.core.$RefinementCtx,
): void {
  if (reducer_visible === undefined || filter === undefined) return;
  const message = "reducer_visible beside filter, which is about messages; expected one of them";
  context.addIssue({ code: "custom", path: ["reducer_visible"], message });
}

/** Names in a message: of thousands of classes each gets one. */
const NAMES_SHOWN = 16;

/** Refuses room classes that name an undefined reducer. */
export function refuseUnknownReducers(
  { rooms, reducers }: {
    readonly rooms: readonly { readonly reducer?: string | undefined }[];
    readonly reducers: readonly Pick<ReducerEntry, "name">[];
  },
  context: z.core.$RefinementCtx,
): void {
  const names = new Set(reducers.map(({ name }) => name));
  const few = [...names].slice(0, NAMES_SHOWN).map((name) => `"${name}"`).join(", ");
  const known = names.size > NAMES_SHOWN ? `${few}, …` : few || "none";
  for (const [index, { reducer }] of rooms.entries()) {
    if (reducer === undefined || names.has(reducer)) continue;
    const message = `no [[reducers]] has the name "${reducer}"; expected one of: ${known}`;
    context.addIssue({ code: "custom", path: ["rooms", index, "reducer"], message });
  }
}

const REPLICAS = [1, 3, 5];
/** What a room does with a subscriber that reads too slowly. */
const SLOW_READERS = ["disconnect", "drop-oldest", "latest"] as const;
/** One of `SLOW_READERS`. */
export type SlowReader = typeof SLOW_READERS[number];
/** Which caches may store HTTP responses from the stream of a durable room. */
const HTTP_CACHES = ["none", "private", "public"] as const;
/** The form of a message for subscribers that asked for deltas. */
const DELTAS = ["none", "fossil"] as const;
/** One of `DELTAS`. */
export type DeltaForm = typeof DELTAS[number];
/** One of `HTTP_CACHES`. */
export type HttpCache = typeof HTTP_CACHES[number];

const filter = z.string().min(1).max(4_096);

const options = {
  room: roomPattern.describe("room id or prefix pattern; the longest that matches counts"),
  durable: z.boolean().default(false).describe(
    "store its messages: an acknowledged one is stored, and a returning subscriber gets missed ones",
  ),
  history_size: count(1_000, 1_000_000, "newest messages that are kept of each room"),
  history_ttl_seconds: count(86_400, 315_360_000, "age up to which messages are kept"),
  replicas: z.int().min(1).max(5).refine((copies) => REPLICAS.includes(copies), {
    error: "expected 1, 3 or 5: an even number survives no more failures than the odd one below it",
  }).meta({ enum: REPLICAS }).optional().describe(
    "copies on a NATS cluster, 1, 3 or 5; a tenant's log has the maximum of its classes; absent: 3 on a cluster, else 1",
  ),
  cache_last: z.boolean().default(false).describe(
    "send a new subscriber the last message at once; needs durable",
  ),
  presence: z.boolean().default(true).describe("whether SUB with presence is allowed"),
  slow_reader: z.enum(SLOW_READERS).default("disconnect").describe(
    "for a slow subscriber: close 4429; drop its oldest messages of the room (drop-oldest); queue only the newest per key (latest)",
  ),
  max_members: z.int().min(1).max(10_000_000).optional().describe(
    "members of one room, at most 100,000; the next gets 429; absent: as many",
  ),
  echo: z.boolean().default(true).describe(
    "whether publishers receive their own messages; false acts as no_echo in each SUB",
  ),
  http_cache: z.enum(HTTP_CACHES).default("none").describe(
    "caching of its stream over HTTP for a minute: none, the reader's own cache (private), or any proxy, which then serves anybody (public)",
  ),
  filter: filter.superRefine((text, context) => {
    const problem = classFilterProblem(text);
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  }).optional().describe(
    'CEL over type, sender, headers, data and the subscriber\'s claims; subscribers and history get only messages for which it is true: headers["team"] in claims.teams; absent: all',
  ),
  delta: z.enum(DELTAS).default("none").describe(
    "fossil: clients that ask for deltas get data as a diff from the previous message with the same x-key, or type",
  ),
  membership: z.enum(["off", "journal"]).default("off").describe(
    "journal: joins and leaves are stored in order, with cause, in the durable room ROOM~members; ids of up to 56 characters",
  ),
  proof: z.boolean().optional().describe(
    "a transparency log of each room: a tree over its messages with signed checkpoints; needs durable; absent: false",
  ),
  proof_public: z.boolean().optional().describe(
    "whether anybody may read checkpoints and tiles, without a token; absent: false",
  ),
  ...RoomJournal,
};

/** Refuses options that need a log on a room without one: the cached last message, and a proof tree. */
function refuseUnstored(
  { durable, ...one }: {
    readonly durable: boolean;
    readonly cache_last: boolean;
    readonly proof?: boolean | undefined;
  },
  context: z.core.$RefinementCtx,
): void {
  for (const name of ["cache_last", "proof"] as const) {
    if (one[name] !== true || durable !== false) continue;
    const message = `${name} without durable; expected durable = true beside it`;
    context.addIssue({ code: "custom", path: [name], message });
  }
}

/** Refuses a reducer without a log: its events are messages of the log. */
function refusePassing(
  { reducer, durable }: { readonly reducer?: string | undefined; readonly durable: boolean },
  context: z.core.$RefinementCtx,
): void {
  if (reducer === undefined || durable !== false) return;
  const message = "reducer without durable; expected durable = true beside it";
  context.addIssue({ code: "custom", path: ["reducer"], message });
}

/** Refuses a filter that is too much with that of a reducer's events: it would deliver nothing. */
function refuseJoinedFilter(
  { reducer, filter }: {
    readonly reducer?: string | undefined;
    readonly filter?: string | undefined;
  },
  context: z.core.$RefinementCtx,
): void {
  if (reducer === undefined || filter === undefined) return;
  const problem = classFilterProblem(reducedFilter(filter));
  if (problem === undefined) return;
  const message = `${problem}, with the part that the reducer adds`;
  context.addIssue({ code: "custom", path: ["filter"], message });
}

/** One class of a tenant's run-time settings. */
export const TenantRoomClass = z.strictObject(options).superRefine(refuseUnstored, always);
/** A class of rooms: `{room, durable, history_size, …}`; omitted options have their defaults. */
export type TenantRoomClass = z.output<typeof TenantRoomClass>;

/**
 * One class as it is stored: whoever stored it has compiled its filter, which takes milliseconds. Every process reads
 * it with each change of the tenant's settings.
 */
export const StoredRoomClass = z.strictObject({ ...options, filter: filter.optional() })
  .superRefine(refuseUnstored, always);

/** One entry of `[[rooms]]`. */
export const RoomClassEntry = z.strictObject({
  tenant: idOrAny.default("*").describe('tenant that it is for; "*" is every one'),
  ...options,
  ...ClassReducer,
}).superRefine(refuseUnstored, always).superRefine(refusePassing, always).superRefine(
  refuseFilteredValues,
  always,
).superRefine(refuseJoinedFilter);
/** As `TenantRoomClass`, with the tenant of the class, or "*". */
export type RoomClassEntry = z.output<typeof RoomClassEntry>;

/** `[[rooms]]`: classes of rooms. */
export const Rooms = z.array(RoomClassEntry).max(10_000).superRefine(
  refuseRepeated({
    list: "rooms",
    members: ["tenant", "room"],
    shown: "room",
    same: "the same tenant and room",
    expected: "expected each pair once",
  }),
  always,
).default([]);

/** `[filters]`: bounds of the filters that clients subscribe with, all of them constants. */
export const Filters = z.strictObject({});

/** `[durable]`: where and how durable rooms are stored. */
export const Durable = z.strictObject({
  synchronous: z.enum(["off", "normal", "full"]).default("normal").describe(
    "embedded log: full survives a power cut, with a disk flush each turn; normal and off survive the process's death; a power cut may lose the last seconds (off: the file)",
  ),
  log_bytes: z.int().min(65_536).max(1_099_511_627_776).default(1_073_741_824).describe(
    "size of a tenant's log, reserved on NATS, and of all logs together in the embedded Spine; when full, durable publishes get 503",
  ),
  shared_streams: z.int().min(0).max(100).default(0).describe(
    "NATS streams shared by tenants without classes of their own; 0: one stream per tenant, which costs memory and files; a tenant keeps its place",
  ),
  shared_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(1_073_741_824).describe(
    "size of each shared stream, reserved on NATS; half of it is guaranteed to its tenants, and none gets more than the other half",
  ),
  tenants: z.int().min(1).max(10_000_000).optional().describe(
    "tenants with durable rooms to plan NATS storage for: a start compares their limits with the storage; absent: those of the configuration",
  ),
});

/** The keys of `[nats]` about the storage that the servers have. */
export const NatsStorage = {
  control_bytes: z.int().min(8_388_608).max(1_099_511_627_776).default(1_073_741_824).describe(
    "storage reserved for other data than messages (rooms, bans, revocations, policies, schemas …), each with its share; at most a quarter of all",
  ),
  reducer_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(268_435_456).describe(
    "storage for programs and snapshots of rooms with reducers, also earlier ones for looking back; at most an eighth of all",
  ),
  proof_bytes: z.int().min(1_048_576).max(1_099_511_627_776).default(268_435_456).describe(
    "storage for transparency logs, reserved with the first class that has `proof`, or the first one; at most an eighth of all; when full, they stop, and nothing else does",
  ),
  storage_bytes: z.int().min(1_048_576).max(1_125_899_906_842_624).optional().describe(
    "JetStream storage for ArqonBus, each message counted once: with three copies on three servers, max_file_store of one; absent: the limit of server or account (a cluster reports none of its servers)",
  ),
};

/** `[streams]`: durable rooms as Durable Streams over HTTP; all is constant. */
export const Streams = z.strictObject({});
