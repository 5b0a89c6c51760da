/**
 * Parses messages on `sys.t.{tenant}.signals`, in Protobuf or JSON: a kick by the Brain, or an order of a backend. NATS
 * permissions decide who may publish there; `signals.ts` and `signal_writes.ts` carry out the order.
 */
import { DecodeError, idProblem, type PlainSignal, readEnvelope } from "@arqon/proto";
import { z } from "zod";
import { BAN_REASON_UNITS_MAX } from "../../../shared/records/bans.ts";
import { revocationIdProblem } from "../../../shared/records/revocations.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { parseTenantSubject } from "../../../shared/subjects/subject.ts";
import { problemText } from "../../../shared/problem.ts";

/** The header with the kind of the target, for ids that could belong to two kinds. */
const TARGET_KIND = "target_kind";
/** The latest time that a Date can represent. */
const TIME_MS_MAX = 8_640_000_000_000_000;
const BRACE = 0x7b;
const EXAMPLE = '{"signal":{"kind":"BAN","target":"ID"}}';
/** The name of the sender if a signal has none. */
const UNNAMED = "signal";

/** The kinds of things that a target can name. */
type TargetKind = "user" | "connection" | "token";

/** The targets that each kind of signal can have. */
const TARGETS = {
  DISCONNECT: ["user", "connection"],
  BAN: ["user"],
  UNBAN: ["user"],
  REVOKE: ["user", "token"],
} as const satisfies Record<string, readonly TargetKind[]>;

/** The kinds of signal that are acted on. */
type OrderKind = keyof typeof TARGETS;
const KINDS = Object.keys(TARGETS).join(", ");

/** A signal that can be acted on. */
export interface Order {
  readonly kind: OrderKind;
  readonly tenant_id: string;
  /** The room; undefined if the signal is not about one room. */
  readonly room_id: string | undefined;
  readonly target: string;
  /** The kinds of things that `target` may name; at least one. */
  readonly target_kinds: readonly TargetKind[];
  /** The reason, at most 256 UTF-16 units. */
  readonly reason: string;
  /** The expiry, in Unix ms and later than now; 0 if the signal has none. */
  readonly until_ms: number;
  /** The sender's name as given; at most 256 UTF-16 units. */
  readonly by: string;
}

/** A signal that cannot be acted on; `problem` is a label of a metric, and `detail` is for people. */
interface Unusable {
  readonly problem: "malformed" | "foreign" | "unknown-kind";
  readonly detail: string;
}

/** The unchecked content of a signal in either form. */
interface Content {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly sender_id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: Readonly<PlainSignal> | Readonly<z.output<typeof TextSignal>["signal"]>;
}

const TextSignal = z.strictObject({
  op: z.literal("pub").optional(),
  tenant_id: z.string().default(""),
  room: z.string().default(""),
  sender: z.string().default(""),
  headers: z.record(z.string(), z.string()).default({}),
  signal: z.strictObject({
    kind: z.string(),
    target: z.string(),
    reason: z.string().default(""),
    until_ms: z.int().default(0),
  }),
});

const malformed = (detail: string): Unusable => ({ problem: "malformed", detail });

function readText(payload: Uint8Array): Content | Unusable {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return malformed("it begins like JSON and is not JSON");
  }
  const parsed = TextSignal.safeParse(value);
  if (!parsed.success) return malformed(`${problemText(parsed.error)}; expected ${EXAMPLE}`);
  const { room: room_id, sender: sender_id, ...rest } = parsed.data;
  return { ...rest, room_id, sender_id };
}

function readBinary(payload: Uint8Array): Content | Unusable {
  try {
    const { signal, ...rest } = readEnvelope(payload);
    if (signal === undefined) return malformed("an envelope without a signal");
    return { ...rest, signal };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return malformed(`neither an Envelope nor JSON such as ${EXAMPLE}`);
  }
}

/** The kinds that the target may have; empty if it is not an id, or the header does not match. */
function targetKinds(kind: OrderKind, { headers, signal: { target } }: Content): TargetKind[] {
  const named = headers[TARGET_KIND];
  return TARGETS[kind].filter((one) =>
    (named === undefined || named === one) &&
    revocationIdProblem(one === "token" ? "token" : "user", target) === undefined
  );
}

function problemOf(kind: OrderKind, content: Content, now_ms: number): string | undefined {
  const { room_id, signal: { reason, until_ms } } = content;
  const room_problem = room_id === "" ? undefined : idProblem(room_id);
  if (room_problem !== undefined) return `room: ${room_problem}`;
  if (kind === "REVOKE" && room_id !== "") {
    return "room: a token belongs to the whole tenant; leave the room out";
  }
  if (targetKinds(kind, content).length === 0) {
    const kinds = TARGETS[kind].join(" or ");
    return `target: expected the id of a ${kinds}; target_kind may name its kind`;
  }
  if (!reason.isWellFormed() || reason.length > BAN_REASON_UNITS_MAX) {
    return `reason: expected at most ${BAN_REASON_UNITS_MAX} characters`;
  }
  const to_come = Number.isInteger(until_ms) && until_ms > now_ms && until_ms <= TIME_MS_MAX;
  if ((kind === "BAN" || kind === "REVOKE") && until_ms !== 0 && !to_come) {
    return "until_ms: expected a future time in Unix ms, or 0";
  }
  return undefined;
}

const isOrderKind = (kind: string): kind is OrderKind => Object.hasOwn(TARGETS, kind);

/**
 * Parses a message on a tenant's control subject into an order, or the reason why it is unusable. `now_ms` is Unix ms.
 */
export function readOrder(
  { subject, payload }: Pick<SpineMessage, "subject" | "payload">,
  now_ms: number,
): Order | Unusable {
  const content = payload[0] === BRACE ? readText(payload) : readBinary(payload);
  if ("problem" in content) return content;
  const tenant_id = parseTenantSubject(subject);
  if (tenant_id === undefined || (content.tenant_id !== "" && content.tenant_id !== tenant_id)) {
    return { problem: "foreign", detail: "the envelope's tenant differs from the subject's" };
  }
  const { kind, target, reason, until_ms } = content.signal;
  if (!isOrderKind(kind)) return { problem: "unknown-kind", detail: `kind: expected ${KINDS}` };
  const problem = problemOf(kind, content, now_ms);
  if (problem !== undefined) return malformed(problem);
  return {
    kind,
    tenant_id,
    room_id: content.room_id === "" ? undefined : content.room_id,
    target,
    target_kinds: targetKinds(kind, content),
    reason,
    until_ms,
    by: content.sender_id.slice(0, BAN_REASON_UNITS_MAX) || UNNAMED,
  };
}
