/**
 * What a message on `sys.t.{tenant}.signals` asks for, as Protobuf or as JSON: a kick of the Brain, or
 * what a backend wants. Reads only: who may publish there is what NATS permits, and what comes of it
 * is `signals.ts` and `signal_writes.ts`.
 */
import { DecodeError, idProblem, readEnvelope } from "@arqon/proto";
import type { PlainSignal } from "@arqon/proto";
import { z } from "zod";
import { BAN_REASON_UNITS_MAX } from "../../shared/records/bans.ts";
import { revocationIdProblem } from "../../shared/records/revocations.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine.ts";
import { parseTenantSubject } from "../../shared/subjects/subject.ts";
import { problemText } from "../../shared/problem.ts";

/** Envelope header that says what the target is, where it could be the id of two things. */
const TARGET_KIND = "target_kind";
/** The latest moment that a Date can hold. */
const TIME_MS_MAX = 8_640_000_000_000_000;
const BRACE = 0x7b;
const EXAMPLE = '{"signal":{"kind":"BAN","target":"ID"}}';
/** Where a signal says nobody. */
const UNNAMED = "signal";

/** What a target can be the id of. */
export type TargetKind = "user" | "connection" | "token";

/** What each kind of signal can be about. */
const TARGETS = {
  DISCONNECT: ["user", "connection"],
  BAN: ["user"],
  UNBAN: ["user"],
  REVOKE: ["user", "token"],
} as const satisfies Record<string, readonly TargetKind[]>;

/** The kinds of signal that are acted on. */
export type OrderKind = keyof typeof TARGETS;
const KINDS = Object.keys(TARGETS).join(", ");

/** A signal that can be acted on. */
export interface Order {
  readonly kind: OrderKind;
  readonly tenant_id: string;
  /** Undefined: it is not about one room. */
  readonly room_id: string | undefined;
  readonly target: string;
  /** What `target` may be the id of; one at least. */
  readonly target_kinds: readonly TargetKind[];
  /** At most 256 UTF-16 units. */
  readonly reason: string;
  /** Unix ms, later than now; 0: it says none. */
  readonly until_ms: number;
  /** The name of who says so, as they give it; at most 256 UTF-16 units. */
  readonly by: string;
}

/** A signal that cannot be acted on; `problem` is a label of a metric, `detail` is for people. */
export interface Unusable {
  readonly problem: "malformed" | "foreign" | "unknown-kind";
  readonly detail: string;
}

/** Both forms, before anything is checked. */
interface Said {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly sender_id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: Readonly<PlainSignal> | Readonly<z.output<typeof TextSignal>["signal"]>;
}

/** As the text form of an envelope has it. */
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

function readText(payload: Uint8Array): Said | Unusable {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return malformed("it begins as JSON and is none");
  }
  const parsed = TextSignal.safeParse(value);
  if (!parsed.success) return malformed(`${problemText(parsed.error)}; expected ${EXAMPLE}`);
  const { room: room_id, sender: sender_id, ...rest } = parsed.data;
  return { ...rest, room_id, sender_id };
}

function readBinary(payload: Uint8Array): Said | Unusable {
  try {
    const { signal, ...rest } = readEnvelope(payload);
    if (signal === undefined) return malformed("an envelope without a signal");
    return { ...rest, signal };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return malformed(`neither an Envelope nor JSON such as ${EXAMPLE}`);
  }
}

/** What the target may be; none when it is no id, or the header says something else. */
function targetKinds(kind: OrderKind, { headers, signal: { target } }: Said): TargetKind[] {
  const named = headers[TARGET_KIND];
  return TARGETS[kind].filter((one) =>
    (named === undefined || named === one) &&
    revocationIdProblem(one === "token" ? "token" : "user", target) === undefined
  );
}

/** What is wrong with a signal of that kind; undefined when nothing is. */
function problemOf(kind: OrderKind, said: Said, now_ms: number): string | undefined {
  const { room_id, signal: { reason, until_ms } } = said;
  const room_problem = room_id === "" ? undefined : idProblem(room_id);
  if (room_problem !== undefined) return `room: ${room_problem}`;
  if (kind === "REVOKE" && room_id !== "") {
    return "room: a token is of the whole tenant; leave the room out";
  }
  if (targetKinds(kind, said).length === 0) {
    const kinds = TARGETS[kind].join(" or ");
    return `target: expected the id of a ${kinds}, and what it is, if anything, in target_kind`;
  }
  if (!reason.isWellFormed() || reason.length > BAN_REASON_UNITS_MAX) {
    return `reason: expected at most ${BAN_REASON_UNITS_MAX} characters`;
  }
  const to_come = Number.isInteger(until_ms) && until_ms > now_ms && until_ms <= TIME_MS_MAX;
  if ((kind === "BAN" || kind === "REVOKE") && until_ms !== 0 && !to_come) {
    return "until_ms: expected a time to come in Unix ms, or 0";
  }
  return undefined;
}

const isOrderKind = (kind: string): kind is OrderKind => Object.hasOwn(TARGETS, kind);

/** What a message on a tenant's control subject asks for, or why nothing. `now_ms` is Unix ms. */
export function readOrder(
  { subject, payload }: Pick<SpineMessage, "subject" | "payload">,
  now_ms: number,
): Order | Unusable {
  const said = payload[0] === BRACE ? readText(payload) : readBinary(payload);
  if ("problem" in said) return said;
  const tenant_id = parseTenantSubject(subject);
  if (tenant_id === undefined || (said.tenant_id !== "" && said.tenant_id !== tenant_id)) {
    return { problem: "foreign", detail: "the envelope is of another tenant than the subject" };
  }
  const { kind, target, reason, until_ms } = said.signal;
  if (!isOrderKind(kind)) return { problem: "unknown-kind", detail: `kind: expected ${KINDS}` };
  const problem = problemOf(kind, said, now_ms);
  if (problem !== undefined) return malformed(problem);
  return {
    kind,
    tenant_id,
    room_id: said.room_id === "" ? undefined : said.room_id,
    target,
    target_kinds: targetKinds(kind, said),
    reason,
    until_ms,
    by: said.sender_id.slice(0, BAN_REASON_UNITS_MAX) || UNNAMED,
  };
}
