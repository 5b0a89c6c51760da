/** Mirror rules and schema mappings, as `config.toml` and the tenants' run-time settings have them. */
import { z } from "zod";
import { canMatchBelow, patternProblem } from "../subjects/subject_pattern.ts";
import { isSchemaId, SCHEMA_ID_RULE } from "../schema_id.ts";
import { always, count, fraction, refuseRepeated } from "./values/schema_values.ts";

/** The beginning of all subjects on which clients publish. */
const PUBLISHED = "in.t.";

/** Why no message of a client can ever match the pattern, in words; undefined when some can. */
function roomPatternProblem(text: string): string | undefined {
  const problem = patternProblem(text);
  if (problem !== undefined) return problem;
  if (!canMatchBelow(text, PUBLISHED)) return `nothing is published there, only on ${PUBLISHED}…`;
  const exact = !/[*>]$/.test(text) && text.split(".").length !== 5;
  return exact ? 'no room has this subject; a trailing "*" matches any remainder' : undefined;
}

const SCHEMA_CHARACTERS = /^[A-Za-z0-9_.-]{1,128}$/;

/** A subject pattern that clients' messages can match. */
const messagePattern = z.string().min(1).max(256).superRefine((text, context) => {
  const problem = roomPatternProblem(text);
  if (problem === undefined) return;
  const message =
    `${JSON.stringify(text)}: ${problem}; expected "in.t.TENANT.r.ROOM" or a pattern ` +
    'such as "in.t.default.*"';
  context.addIssue({ code: "custom", message });
});

/**
 * Refuses ids that no room can have. Only for `config.toml`: a tenant's stored mapping to an
 * impossible id harms nobody else.
 */
function refuseImpossibleIds(given: unknown, context: z.core.$RefinementCtx): void {
  for (const [index, mapping] of (Array.isArray(given) ? given : []).entries()) {
    const schema_id: unknown = mapping?.schema_id;
    // Other characters are refused already.
    if (typeof schema_id !== "string" || !SCHEMA_CHARACTERS.test(schema_id)) continue;
    if (isSchemaId(schema_id)) continue;
    const message = `${JSON.stringify(schema_id)}: ${SCHEMA_ID_RULE}`;
    context.addIssue({ code: "custom", path: [index, "schema_id"], message });
  }
}

/** What share of the traffic below a subject prefix is copied. */
export const MirrorRule = z.strictObject({
  prefix: messagePattern.describe('subject prefix; a trailing "*" matches any remainder'),
  percent: fraction.describe("fraction of the traffic: 0.10 is 10 %"),
});
/** A mirror rule: `{prefix, percent}`. */
export type MirrorRule = z.output<typeof MirrorRule>;

/** A mapping: which Protobuf message the events of a subject must be. */
export const SchemaMapping = z.strictObject({
  subject: messagePattern.describe("subject or pattern"),
  schema_id: z.string().regex(SCHEMA_CHARACTERS, {
    error: "expected a schema id: 1 to 128 of [A-Za-z0-9_.-]",
  }).describe("key of the schema in the bucket"),
  message: z.string().max(512).regex(/^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/, {
    error: 'expected the full name of a message, for example "transit_realtime.FeedMessage"',
  }).describe("full name of the Protobuf message"),
  mode: z.enum(["enforce", "observe", "dead-letter"]).default("enforce")
    .describe("on a violation: refuse, only count, or refuse and keep a copy"),
  unknown_fields: z.enum(["allow", "warn", "refuse"]).default("allow")
    .describe("what a field outside the schema does"),
});
/** A mapping: `{subject, schema_id, message, mode, unknown_fields}`. */
export type SchemaMapping = z.output<typeof SchemaMapping>;

const refuseTwice = refuseRepeated({
  list: "rules",
  members: ["prefix"],
  shown: "prefix",
  same: "the same prefix",
  expected: "expected each prefix once",
});

const refuseSubjectTwice = refuseRepeated({
  list: "mappings",
  members: ["subject"],
  shown: "subject",
  same: "the same subject",
  expected: "expected each subject once",
});

/** The most rules, or mappings: those that match the same rooms are sorted at once. */
const RULES_MAX = 10_000;

/** `[platform.mirroring]`: copies of traffic on shadow subjects. */
export const Mirroring = z.strictObject({
  enabled: z.boolean().default(true).describe("copy traffic to shadow subjects"),
  rules: z.array(MirrorRule).max(RULES_MAX).superRefine(refuseTwice, always).default([]).describe(
    "what is mirrored; the longest prefix that matches counts",
  ),
});

/** `[platform.registry]`: Protobuf schemas of events. */
export const SchemaRegistry = z.strictObject({
  enabled: z.boolean().default(true).describe("check events against Protobuf schemas"),
  kv_bucket: z.string().regex(/^[A-Z0-9_]{1,64}$/, { error: "expected a bucket name of [A-Z0-9_]" })
    .default("ARQON_SCHEMAS").describe(
      "bucket of current schemas, for other tools to read and put; versions are in the bucket of this name plus _VERSIONS",
    ),
  cache_ttl_seconds: count(300, 86_400, "age at which a schema is looked at again"),
  mappings: z.array(SchemaMapping).max(RULES_MAX).superRefine(refuseSubjectTwice, always)
    .superRefine(refuseImpossibleIds, always).default([]).describe(
      "the message of each subject; the most specific match counts",
    ),
});
