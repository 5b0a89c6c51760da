/**
 * A record of the journal: one decision of a Shield about one operation, with each input that was read for it and
 * nothing else. The form of the admin API and of files, one JSON object per line. Other files have storage and replay.
 * Pure.
 */
import * as z from "zod";

/** The version of this form. */
export const RECORD_FORMAT = 1;

const Count = z.int().min(0);
const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, { error: "expected 64 lowercase hex digits" });
const Base64 = z.base64();

/**
 * One input that a policy read. `value` is null if there was none; text for headers and claims, base64 for state.
 * `name` is the lower-case name of a header, the name of a claim, or the key template of a state. After an erasure
 * `value` is null and `is_erased` is true.
 */
export const Read = z.strictObject({
  from: z.enum(["header", "claim", "state"]),
  name: z.string(),
  value: z.string().nullable(),
  /** The values that filled the template, as one key; only for state. */
  key: z.string().optional(),
  is_erased: z.literal(true).optional(),
});

/** One value of keyed state that a policy wrote; null: deleted. */
const Write = z.strictObject({
  name: z.string(),
  value: Base64.nullable(),
});

/** The decision of one policy of the chain. */
export const PolicyRecord = z.strictObject({
  name: z.string(),
  /** Hex SHA-256 of the module as uploaded. */
  module: Sha256,
  /** `arqon_host_v1` or `arqon_host_v2`. A v1 module may have kept memory from earlier calls. */
  abi: z.union([z.literal(1), z.literal(2)]),
  mode: z.enum(["enforce", "observe"]),
  allowed: z.boolean(),
  /** 0 if allowed, else 400 to 599. */
  code: Count,
  /** The policy's own text. */
  reason: z.string(),
  /** Why it reached no verdict; null: it did. */
  fault: z.string().nullable(),
  detail: z.string(),
  /** Instruction units used, and available. */
  units: Count,
  budget_units: Count,
  /** The size of all headers and claims, the price of the first access to one. */
  asking_bytes: Count,
  has_read_payload: z.boolean(),
  reads: z.array(Read),
  writes: z.array(Write),
  added_headers: z.array(z.tuple([z.string(), z.string()])),
  /** The payload that it replaced the previous one with; null: it did not. */
  payload: Base64.nullable(),
  /** It replaced the payload, and the new one is not recorded. */
  is_payload_missing: z.literal(true).optional(),
  logs: z.array(z.strictObject({ level: Count, message: z.string() })),
});

/**
 * The payload of the operation. `kept`: included. `reference`: in the room's log at the record's `offset`, or found
 * missing there; if a policy replaced it, nowhere. `hash`: only its digest. `none`: the hook has none. `erased`: its
 * sender was erased.
 */
export const PayloadRecord = z.discriminatedUnion("form", [
  z.strictObject({ form: z.literal("kept"), data: Base64 }),
  z.strictObject({
    form: z.literal("reference"),
    bytes: Count,
    is_gone: z.literal(true).optional(),
  }),
  z.strictObject({ form: z.literal("hash"), sha256: Sha256, bytes: Count }),
  z.strictObject({ form: z.literal("none") }),
  z.strictObject({ form: z.literal("erased") }),
]);

/**
 * The verdict of a schema on the received payload and on any that a policy replaced it with; `violation` is null if
 * there was none.
 */
const SchemaRecord = z.strictObject({
  id: z.string(),
  version: Count,
  violation: z.strictObject({ path: z.string(), rule: z.string(), message: z.string() }).nullable(),
});

const Rate = z.strictObject({ messages_per_second: Count, bytes_per_second: Count });

/**
 * The rules in force for an operation beside schema and policies: its token, the grant that allows it, and the limits,
 * room class and mirror rule.
 */
export const Terms = z.strictObject({
  credential: z.strictObject({
    issuer: z.string(),
    /** The key that signed the token; null: the token names none. */
    kid: z.string().nullable(),
    role: z.string(),
    /** False: the token names no grants, and so may do everything in its tenant. */
    has_grants: z.boolean(),
  }),
  /** Expiry of the token, Unix ms; null after an erasure. */
  expires_ms: Count.nullable(),
  /** The room or pattern of the first grant that allows it; null: none does, or an erasure. */
  grant: z.string().nullable(),
  limits: z.strictObject({
    connection: Rate,
    user: Rate,
    tenant: Rate,
    /** The tenant's quota on all Shields; null: none. */
    quota: Rate.nullable(),
  }),
  /** Null: no room. `pattern` is "" for the default class. */
  room_class: z.strictObject({
    pattern: z.string(),
    source: z.enum(["default", "config", "tenant"]),
    durable: z.boolean(),
  }).nullable(),
  /** The mirror rule for the message, and whether it selected it; null: none, or it was refused. */
  mirror: z.strictObject({
    prefix: z.string(),
    percent: z.number(),
    source: z.enum(["config", "tenant"]),
    is_copied: z.boolean(),
  }).nullable(),
});
export type Terms = z.output<typeof Terms>;

/** One decision. Times are Unix ms. */
export const JournalRecord = z.strictObject({
  format: z.literal(RECORD_FORMAT),
  /** Unique on the bus: the Shield's id, a dot, and its number of the record. */
  id: z.string(),
  time_ms: Count,
  node: z.string(),
  tenant: z.string(),
  hook: z.enum(["on_connect", "on_subscribe", "on_message"]),
  /** "" for `on_connect`. */
  room: z.string(),
  /** W3C trace id, 32 hex digits; null: the client sent none. */
  trace: z.string().nullable(),
  message_id: z.string().nullable(),
  /** Its `X-Twist-ID`, if it has neither message id nor trace nor offset; else absent. */
  twist: z.string().optional(),
  /** The offset in the room's log; null: the room has none, or the message was refused. */
  offset: Count.nullable(),
  /** The sender; null after an erasure. */
  sender: z.strictObject({
    user: z.string(),
    connection: z.string(),
    remote_ip: z.string(),
  }).nullable(),
  /** Not erased: there was no room for the sender's key, so the sender's part was not written. */
  is_unkept: z.literal(true).optional(),
  /** Type of the event or name of the command; "" for other hooks. */
  type: z.string(),
  content_type: z.string(),
  /** The schema that the event names; absent: none, or it was erased with its sender. */
  schema_id: z.string().optional(),
  /** Its sender signed the message; absent: not. No policy may replace a signed payload. */
  is_signed: z.literal(true).optional(),
  /** It is a command; absent: an event or a signal. */
  is_command: z.literal(true).optional(),
  payload: PayloadRecord,
  allowed: z.boolean(),
  /** 0 when allowed. */
  code: Count,
  /** The reason of docs/errors.md, such as `policy-rejected`; "" if allowed. */
  reason: z.string(),
  /** The client's error text; "" if allowed. */
  message: z.string(),
  schema: SchemaRecord.nullable(),
  /** The version of the tenant's policies; null: none ran. */
  chain_version: Count.nullable(),
  /** The version of the metering transform, which defines units. */
  meter_version: Count,
  policies: z.array(PolicyRecord),
  /** Absent: not recorded. */
  terms: Terms.optional(),
});
export type JournalRecord = z.output<typeof JournalRecord>;
export type PolicyRecord = z.output<typeof PolicyRecord>;
export type Read = z.output<typeof Read>;
export type PayloadRecord = z.output<typeof PayloadRecord>;

/** A gap in the journal: records that did not fit, or were lost with a Shield. */
export const JournalHole = z.strictObject({
  format: z.literal(RECORD_FORMAT),
  hole: z.strictObject({
    node: z.string(),
    tenant: z.string(),
    from_ms: Count,
    to_ms: Count,
    /** How many records; null: unknown. */
    records: Count.nullable(),
    /** Why, as docs/journal.md lists it: `queue-full`, `killed`, `removed` and others. */
    why: z.string(),
  }),
});
export type JournalHole = z.output<typeof JournalHole>;

/** One line of the journal. */
export type JournalLine = JournalRecord | JournalHole;

/** Whether a line is a gap. */
export function isHole(line: JournalLine): line is JournalHole {
  return "hole" in line;
}

/** The line of a file or an answer, or what is wrong with it and where. */
export function parseLine(
  text: string,
): { readonly line: JournalLine } | { readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { problem: "it is no JSON" };
  }
  const form = typeof value === "object" && value !== null && "hole" in value
    ? JournalHole
    : JournalRecord;
  const parsed = form.safeParse(value);
  if (parsed.success) return { line: parsed.data };
  const [issue] = parsed.error.issues;
  return { problem: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "it is no record"}` };
}

/** The payload of an operation, with its bytes if they are kept. */
export type EntryPayload =
  | { readonly form: "kept"; readonly data: Uint8Array }
  | { readonly form: "reference"; readonly bytes: number }
  | { readonly form: "hash"; readonly sha256: string; readonly bytes: number }
  | { readonly form: "none" };

/** One decision. Its values are copied when it is written. */
export interface JournalEntry extends
  Readonly<
    Pick<
      JournalRecord,
      | "time_ms"
      | "hook"
      | "room"
      | "trace"
      | "message_id"
      | "offset"
      | "type"
      | "content_type"
      | "schema_id"
      | "is_signed"
      | "is_command"
      | "allowed"
      | "code"
      | "reason"
      | "message"
      | "schema"
      | "chain_version"
    >
  > {
  readonly sender: NonNullable<JournalRecord["sender"]>;
  readonly payload: EntryPayload;
  readonly policies: readonly Readonly<PolicyRecord>[];
  /** Absent: the message has another id, or none is known. */
  readonly twist?: string | undefined;
  /** The same object as long as the content is the same. Absent: not recorded. */
  readonly terms?: Readonly<Terms> | undefined;
}
