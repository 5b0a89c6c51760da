/**
 * A decision of the journal as the steps of a message's way in, each with the version that was in force, in the
 * order in which a Shield takes them; the last one of a refused message is the one that refused it. Pure.
 */
import { z } from "zod";
import type { JournalRecord, PolicyRecord, Terms } from "../../../shared/journal/record.ts";
import { NEVER_MS } from "../../auth/identity.ts";

/** The steps, in their order. `other`: a check that has no step of its own. */
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

/** One step. `none`: there is nothing of that kind here. */
export const Step = z.strictObject({
  step: z.enum(STEPS),
  outcome: z.enum(["passed", "refused", "none"]),
  /** What it was decided by, in a few words. */
  text: z.string(),
});
export type Step = z.output<typeof Step>;

/** What the Shield gave the message, as far as a ledger knows. */
export interface Stamped {
  readonly trace_id: string;
  readonly twist_id: string;
}

/** The step that refuses with each reason; any other reason is of `other`. */
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
  return record.allowed ? all : refusedSteps(record, all);
}

/** Up to the step that refused it, which says why. */
function refusedSteps(record: JournalRecord, all: readonly Step[]): Step[] {
  const { reason, code, message } = record;
  const refusing = REFUSING[reason] ?? "other";
  const place = STEPS.indexOf(refusing);
  const before = all.filter(({ step }) => STEPS.indexOf(step) < place);
  const own = all.filter(({ step, outcome }) => step === refusing && outcome !== "none");
  const last = own.at(-1);
  // Policies before the one that refused have let it pass, and a policy says itself what it said.
  if (refusing === "policy" && last?.outcome === "refused") return [...before, ...own];
  const words = `${code} ${reason}${message === "" ? "" : ` (${message})`}`;
  const text = last === undefined || refusing === "policy" ? words : `${last.text}: ${words}`;
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
    ? none("quota", "the tenant has none on all Shields together")
    : passed("quota", `${rateText(quota)} of the tenant on all Shields together`);
}

function grantStep({ grant, credential: { has_grants } }: Terms): Step {
  if (!has_grants) return passed("grant", "the token names no grants: everything in the tenant");
  return grant === null ? none("grant", "no grant allows it") : passed("grant", grant);
}

const rateText = (
  { messages_per_second, bytes_per_second }: Terms["limits"]["connection"],
): string => `${messages_per_second} messages/s and ${bytes_per_second} bytes/s`;

function schemaSteps({ schema, hook, type }: JournalRecord): Step[] {
  if (schema === null) {
    return hook === "on_message" && type !== "" ? [none("schema", "none is mapped to it")] : [];
  }
  const { id, version, violation } = schema;
  const name = `${id} version ${version}`;
  if (violation === null) return [passed("schema", `${name}: fits`)];
  const { path, rule } = violation;
  return [passed("schema", `${name}: ${path === "" ? "" : `${path} `}breaks ${rule}`)];
}

function policySteps({ chain_version, policies }: JournalRecord): Step[] {
  if (chain_version === null) return [none("policy", "the tenant has none for it")];
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

/** What follows once nothing refuses it any longer. */
function outSteps({ terms, offset, type }: JournalRecord, stamped: Stamped | undefined): Step[] {
  const stamp = stamped === undefined
    ? none("stamp", "no ledger knows which ids it got")
    : passed("stamp", `trace ${stamped.trace_id}, X-Twist-ID ${stamped.twist_id}`);
  const place = offset === null
    ? none("offset", "it is in no room's log")
    : passed("offset", String(offset));
  if (terms === undefined) return [stamp, place];
  const { room_class, mirror } = terms;
  return [
    ...(room_class === null ? [] : [passed("room_class", classText(room_class))]),
    stamp,
    place,
    ...(type === "" ? [] : [mirrorStep(mirror)]),
  ];
}

function classText({ pattern, source, durable }: NonNullable<Terms["room_class"]>): string {
  const by = source === "tenant" ? "set by the tenant" : "of the configuration";
  const name = source === "default" ? "the default class" : `class ${pattern}, ${by}`;
  return `${name}: ${durable ? "durable" : "not durable"}`;
}

function mirrorStep(mirror: Terms["mirror"]): Step {
  if (mirror === null) return none("mirror", "no rule is about it");
  const { prefix, percent, source, is_copied } = mirror;
  const whose = source === "tenant" ? "tenant" : "configuration";
  const share = Number((percent * 100).toPrecision(6));
  const rule = `rule ${prefix} of the ${whose}, share ${share} %`;
  return is_copied ? passed("mirror", `copied by ${rule}`) : none("mirror", `left out by ${rule}`);
}
