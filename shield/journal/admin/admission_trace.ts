/**
 * How messages were admitted: the decisions about them in a tenant's journal, step by step. It reads a limited part of
 * the journal at a time; the ledgers of deliveries narrow the time.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import {
  isHole,
  JournalHole,
  JournalRecord,
  PolicyRecord,
} from "../../../shared/journal/record.ts";
import type { JournalLine, Terms } from "../../../shared/journal/record.ts";
import { type JournalPlaceText, type JournalReading, placeText, readJournal } from "./read.ts";
import { NEVER_MS } from "../../auth/identity.ts";
import { reservedRoom } from "../../../shared/rooms/reserved.ts";

const LINES_MAX = 200;
/** The most journal lines that one answer reads, about half a second, in slices. */
const LOOKED_MAX = 100_000;
/** The tolerance for a decision after its delivery, in ms, as clocks of Shields differ. */
const BESIDE_MS = 30_000;

/** The steps, in order. `other`: a check without its own step. */
const STEPS = [
  "token",
  "rate",
  "grant",
  "ban",
  "quota",
  "other",
  "schema",
  "policy",
  "room_class",
  "stamp",
  "offset",
  "mirror",
] as const;

/** One step. `none`: no such check applies. */
const Step = z.strictObject({
  step: z.enum(STEPS),
  outcome: z.enum(["passed", "refused", "none"]),
  /** The rule that decided, in a few words. */
  text: z.string(),
});
type Step = z.output<typeof Step>;

const { format: _, payload: __, content_type: ___, meter_version: ____, ...record } =
  JournalRecord.shape;

/** One decision, without users' data; `arq journal` has the whole record of that id. */
const Decision = z.strictObject({
  ...record,
  policies: z.array(PolicyRecord.pick({
    name: true,
    module: true,
    abi: true,
    mode: true,
    allowed: true,
    code: true,
    reason: true,
    fault: true,
    detail: true,
    units: true,
    budget_units: true,
  })),
  /** Index among the messages of the answer; null: no ledger has the message. */
  message_place: z.int().min(0).nullable(),
  steps: z.array(Step),
});

/** The decisions about the messages. */
export const WayIn = z.strictObject({
  decisions: z.array(Decision).max(LINES_MAX),
  /** Gaps in the journal: the decisions may be there. */
  holes: z.array(JournalHole.shape.hole).max(LINES_MAX),
  /** False: there is more; `next` continues. */
  is_whole: z.boolean(),
  next: z.string().nullable(),
  /** Why it could not be read; "": it was. */
  problem: z.string(),
});
export type WayIn = z.output<typeof WayIn>;
type Decision = z.output<typeof Decision>;

/** A message in a ledger. */
export interface SoughtMessage {
  readonly room_id: string;
  /** 0, "" and [] for unknown values, here and below. */
  readonly offset: number;
  readonly trace_id: string;
  readonly twist_id: string;
  readonly message_id: string;
  /** When it was delivered, Unix ms, each by its Shield's clock. */
  readonly heard: readonly { readonly time_ms: number }[];
}

/** The request about messages. */
export interface WayInQuery {
  readonly tenant: string;
  readonly message_id?: string | undefined;
  readonly trace?: string | undefined;
  readonly twist?: string | undefined;
  readonly room?: string | undefined;
  readonly offset?: number | undefined;
  readonly found: readonly SoughtMessage[];
  /** `next` of the previous answer. */
  readonly after?: JournalPlaceText | undefined;
}

/** The journal's decisions about the messages. An unreachable store is part of the answer. */
export async function wayIn(reading: JournalReading, question: WayInQuery): Promise<WayIn> {
  const { tenant, after } = question;
  const decisions: Decision[] = [];
  const holes: WayIn["holes"] = [];
  const isMeant = meantBy(question);
  const query = { tenant, after, ...windowOf(question.found), limit: LINES_MAX };
  try {
    const lines = readJournal(reading, query, { lines: LOOKED_MAX, isMeant });
    let step = await lines.next();
    for (; step.done !== true; step = await lines.next()) {
      for (const line of step.value) {
        if (isHole(line)) holes.push(line.hole);
        else decisions.push(decisionOf(line, question.found));
      }
    }
    const { is_end, next } = step.value;
    return {
      decisions,
      holes,
      is_whole: is_end,
      next: is_end ? null : placeText(next),
      problem: "",
    };
  } catch (error) {
    if (!(error instanceof ArqonError)) throw error;
    return { decisions, holes, is_whole: false, next: null, problem: error.message };
  }
}

/** Whether a line is about the messages; a gap may be. Pure. */
function meantBy(query: WayInQuery): (line: JournalLine) => boolean {
  const { message_id, room, offset, found } = query;
  const trace = digitsOf(query.trace);
  const twist = digitsOf(query.twist);
  return (line) => {
    if (isHole(line)) return true;
    if (found.some((one) => isAbout(line, one))) return true;
    if (room !== undefined && line.room !== room) return false;
    return message_id !== undefined && line.message_id === message_id ||
      trace !== undefined && line.trace === trace ||
      twist !== undefined && digitsOf(line.twist) === twist ||
      offset !== undefined && line.offset === offset;
  };
}

/** Whether a decision is about that message: by the most specific id that both have. */
function isAbout({ room, message_id, offset, twist, trace }: JournalRecord, one: SoughtMessage) {
  if (room !== one.room_id) return false;
  if (offset !== null && one.offset > 0) return offset === one.offset;
  if (twist !== undefined) return twist === one.twist_id;
  if (message_id !== null) return message_id === one.message_id;
  return one.message_id === "" && trace !== null && trace === one.trace_id;
}

/** The digits of an id, which people write with dashes and in either case. */
const digitsOf = (text: string | undefined): string | undefined =>
  text?.replaceAll("-", "").toLowerCase();

/** The time window of delivered messages' decisions; unlimited for undelivered ones. */
function windowOf(found: readonly SoughtMessage[]): { since_ms?: number; until_ms?: number } {
  const received_ms = found.flatMap(({ heard }) => heard.map(({ time_ms }) => time_ms));
  if (received_ms.length === 0) return {};
  return {
    since_ms: Math.max(0, Math.trunc(Math.min(...received_ms)) - BESIDE_MS),
    until_ms: Math.trunc(Math.max(...received_ms)) + BESIDE_MS,
  };
}

function decisionOf(line: JournalRecord, found: readonly SoughtMessage[]): Decision {
  const { format: _, payload: __, content_type: ___, meter_version: ____, ...shown } = line;
  const place = nearest(line, found);
  return {
    ...shown,
    policies: line.policies.map((
      { name, module, abi, mode, allowed, code, reason, fault, detail, units, budget_units },
    ) => ({ name, module, abi, mode, allowed, code, reason, fault, detail, units, budget_units })),
    message_place: place,
    steps: stepsOf(line, place === null ? undefined : found[place]),
  };
}

/** Of several messages with the same ids, the one delivered nearest to the decision. */
function nearest(line: JournalRecord, found: readonly SoughtMessage[]): number | null {
  let best: number | null = null;
  let best_ms = Infinity;
  for (const [place, one] of found.entries()) {
    if (!isAbout(line, one)) continue;
    for (const { time_ms } of one.heard) {
      const apart_ms = Math.abs(time_ms - line.time_ms);
      if (apart_ms < best_ms) [best, best_ms] = [place, apart_ms];
    }
  }
  return best;
}

/** The ids that the Shield gave the message, if a ledger has them. */
interface Stamped {
  readonly trace_id: string;
  readonly twist_id: string;
}

/** The step that refuses with each reason; any other reason is `other`. */
const REFUSING: Readonly<Record<string, typeof STEPS[number]>> = {
  "token-expired": "token",
  "token-revoked": "token",
  "tenant-mismatch": "token",
  "rate-limited": "rate",
  "flooding": "rate",
  "not-granted": "grant",
  "reserved-type": "grant",
  "signal-forbidden": "grant",
  "command-forbidden": "grant",
  "banned": "ban",
  "room-banned": "ban",
  "tenant-quota": "quota",
  "budget-exhausted": "quota",
  "schema-violation": "schema",
  "schema-unavailable": "schema",
  "policy-rejected": "policy",
  "policy-fault": "policy",
  "policy-loading": "policy",
  "policy-chain-fuel": "policy",
  "log-unavailable": "offset",
};

/** The steps of a decision. */
export function stepsOf(record: JournalRecord, stamped: Stamped | undefined): Step[] {
  const all = [
    ...termSteps(record),
    ...schemaSteps(record),
    ...policySteps(record),
    ...(record.allowed && record.hook === "on_message" ? outSteps(record, stamped) : []),
  ];
  return record.allowed ? all : refusedSteps(record, [...all, ...classStep(record)]);
}

/** Whether it is an event, which needs no type: of all messages only a signal has no payload. */
const isEvent = ({ hook, is_command, payload }: JournalRecord): boolean =>
  hook === "on_message" && is_command !== true && payload.form !== "none";

/** The step that refused: an event with a grant is refused by its room's class, whose reducer alone publishes. */
function refusingStep(record: JournalRecord): Step["step"] {
  const { reason, room, terms, chain_version } = record;
  const is_granted = chain_version !== null || terms?.credential.has_grants === false ||
    (terms?.grant ?? null) !== null;
  const is_free = isEvent(record) && reservedRoom(room) === undefined;
  if (reason === "not-granted" && is_granted && is_free) return "room_class";
  return REFUSING[reason] ?? "other";
}

/** Whether all policies had let it through: a ban, a schema of what they made of it, or the log refused it. */
const isBehind = ({ chain_version, policies }: JournalRecord): boolean =>
  chain_version !== null && policies.every(({ mode, allowed }) => mode === "observe" || allowed);

function refusedSteps(record: JournalRecord, all: readonly Step[]): Step[] {
  const { code, reason, message } = record;
  const refusing = refusingStep(record);
  const is_behind = refusing !== "policy" && isBehind(record);
  const place = Math.max(STEPS.indexOf(refusing), is_behind ? STEPS.indexOf("room_class") : 0);
  const before = all.filter(({ step }) => STEPS.indexOf(step) < place).map((one) =>
    one.step === refusing && one.outcome !== "none" ? { ...one, text: "fits as it was sent" } : one
  );
  const own = all.filter(({ step, outcome }) => step === refusing && outcome !== "none");
  const last = own.at(-1);
  // Policies before the refusing one allowed it; a policy's own text is shown.
  if (refusing === "policy" && last?.outcome === "refused") return [...before, ...own];
  const words = `${code} ${reason}${message === "" ? "" : ` (${message})`}`;
  const why = refusing === "room_class" ? ", only its reducer publishes" : "";
  const text = last === undefined || refusing === "policy" ? words : `${last.text}${why}: ${words}`;
  const passed = refusing === "policy" ? own : [];
  return [...before, ...passed, { step: refusing, outcome: "refused", text }];
}

const passed = (step: Step["step"], text: string): Step => ({ step, outcome: "passed", text });
const none = (step: Step["step"], text: string): Step => ({ step, outcome: "none", text });

function termSteps({ terms, hook, sender, room }: JournalRecord): Step[] {
  if (terms === undefined) return [];
  const { credential: { issuer, kid, role }, expires_ms, limits } = terms;
  const ends = expires_ms === null || expires_ms >= NEVER_MS
    ? ""
    : `, until ${new Date(expires_ms).toISOString()}`;
  const token = passed(
    "token",
    `issuer ${issuer}, ${kid === null ? "no kid" : `kid ${kid}`}, role ${role}${ends}`,
  );
  if (hook === "on_connect") return [token];
  const { connection, user, tenant, quota } = limits;
  const rates = `${rateText(connection)} of the connection, ${rateText(user)} of the user, ${
    rateText(tenant)
  } of the tenant`;
  return [
    token,
    passed("rate", rates),
    ...(sender === null || room === "" ? [] : [grantStep(terms)]),
    ...(hook === "on_message" ? [quotaStep(quota)] : []),
  ];
}

function quotaStep(quota: Terms["limits"]["quota"]): Step {
  return quota === null
    ? none("quota", "none for the tenant on all Shields together")
    : passed("quota", `${rateText(quota)} of the tenant on all Shields together`);
}

function grantStep({ grant, credential: { has_grants } }: Terms): Step {
  if (!has_grants) return passed("grant", "the token has no grants: everything in the tenant");
  return grant === null ? none("grant", "no grant allows it") : passed("grant", grant);
}

const rateText = (
  { messages_per_second, bytes_per_second }: Terms["limits"]["connection"],
): string => `${messages_per_second} messages/s and ${bytes_per_second} bytes/s`;

function schemaSteps(record: JournalRecord): Step[] {
  const { schema } = record;
  if (schema === null) return isEvent(record) ? [none("schema", "no schema is mapped")] : [];
  const { id, version, violation } = schema;
  const name = `${id} version ${version}`;
  if (violation === null) return [passed("schema", `${name}: fits`)];
  const { path, rule } = violation;
  return [passed("schema", `${name}: ${path === "" ? "" : `${path} `}breaks ${rule}`)];
}

function policySteps({ chain_version, policies }: JournalRecord): Step[] {
  if (chain_version === null) return [none("policy", "the tenant has no policy for it")];
  return policies.map((one) => ({
    step: "policy",
    outcome: one.allowed || one.mode === "observe" ? "passed" : "refused",
    text: `${policyText(one)}, policies of version ${chain_version}`,
  }));
}

const HASH_DIGITS = 12;

function policyText(policy: PolicyRecord): string {
  const { name, mode, allowed, code, reason, fault, detail, units, budget_units, module } = policy;
  const verdict = fault !== null
    ? `fault ${fault}${detail === "" ? "" : ` (${detail})`}`
    : allowed
    ? "allows"
    : `refuses ${code}${reason === "" ? "" : ` ${JSON.stringify(reason)}`}`;
  const how = mode === "observe" ? " (observing)" : "";
  const hash = module.slice(0, HASH_DIGITS);
  return `${name}${how} ${verdict}, ${units} units of ${budget_units}, module ${hash}`;
}

/** The steps after all checks. */
function outSteps(record: JournalRecord, stamped: Stamped | undefined): Step[] {
  const { terms, offset, is_command } = record;
  // A Brain answers it, and nobody receives it.
  if (is_command === true) return classStep(record);
  const stamp = stamped === undefined
    ? none("stamp", "no ledger has its ids")
    : passed("stamp", `trace ${stamped.trace_id}, X-Twist-ID ${stamped.twist_id}`);
  const place = offset === null
    ? none("offset", "not stored in a log")
    : passed("offset", String(offset));
  if (terms === undefined) return [stamp, place];
  const { mirror } = terms;
  return [
    ...classStep({ terms }),
    stamp,
    place,
    ...(isEvent(record) ? [mirrorStep(mirror)] : []),
  ];
}

function classStep({ terms }: Pick<JournalRecord, "terms">): Step[] {
  const room_class = terms?.room_class ?? null;
  return room_class === null ? [] : [passed("room_class", classText(room_class))];
}

function classText({ pattern, source, durable }: NonNullable<Terms["room_class"]>): string {
  const by = source === "tenant" ? "set by the tenant" : "of the configuration";
  const name = source === "default" ? "the default class" : `class ${pattern}, ${by}`;
  return `${name}: ${durable ? "durable" : "not durable"}`;
}

function mirrorStep(mirror: Terms["mirror"]): Step {
  if (mirror === null) return none("mirror", "no rule matches");
  const { prefix, percent, source, is_copied } = mirror;
  const whose = source === "tenant" ? "tenant" : "configuration";
  const share = Number((percent * 100).toPrecision(6));
  const rule = `rule ${prefix} of the ${whose}, share ${share} %`;
  return is_copied
    ? passed("mirror", `copied by ${rule}`)
    : none("mirror", `not selected by ${rule}`);
}
