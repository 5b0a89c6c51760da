/**
 * The form of a folder that says what of a tenant is to be in force: TOML files, each with any of the
 * kinds below. Pure data; `read_folder.ts` reads a folder, `export_text.ts` writes one.
 */
import { z } from "zod";
import type { JsonSchema } from "../../shared/config/json_schema.ts";
import { TenantRoomClass } from "../../shared/config/schema_durable.ts";
import { TenantHook } from "../../shared/config/automation/hooks.ts";
import { SignatureRule } from "../../shared/config/schema_auth.ts";
import { MirrorRule, SchemaMapping } from "../../shared/config/schema_governance.ts";
import { OwnQuota } from "../../shared/config/schema_quota.ts";
import { TenantBudget } from "../../shared/config/schema_usage.ts";
import {
  always,
  fraction,
  id,
  refuseRepeated,
  roomPattern,
} from "../../shared/config/values/schema_values.ts";
import { COMPATIBILITY_MODES, isSchemaId, SCHEMA_ID_RULE } from "../../shared/schema_id.ts";
import { HOOKS } from "../../shield/message/verdict.ts";
import { refuseWhen, SCHEDULE_MEMBERS } from "../../shared/records/schedule.ts";

/** Rules, mappings or classes that one tenant may have, of each; of policies 64. */
const RULES_MAX = 1_000;
const POLICIES_MAX = 64;
const SCHEDULES_MAX = 10_000;

/** A file of the folder, by its path in it. */
const filePath = z.string().min(1).max(256).refine(
  (path) => !/^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)/.test(path),
  { error: "expected the path of a file inside of the folder" },
);

const Policy = z.strictObject({
  name: id.describe("name of the policy"),
  module: filePath.optional().describe("the module, a .wasm file of the folder"),
  source: filePath.regex(/^[^"\\\p{Cc}]+\.ts$/u, { error: "expected a .ts file" }).optional()
    .describe("in place of module: a .ts file that is compiled"),
  room: roomPattern.default("*").describe("room id or prefix pattern"),
  hooks: z.array(z.enum(HOOKS)).min(1).refine((all) => new Set(all).size === all.length, {
    error: "expected each hook once",
  }).optional().describe("when it is asked; absent: at every hook that the module has"),
  order: z.int().min(-1_000_000).max(1_000_000).default(0).describe(
    "the lower comes first; of two with the same order the name decides",
  ),
  mode: z.enum(["enforce", "observe"]).default("enforce").describe(
    "whether its verdict counts, or is only compared",
  ),
  percent: fraction.default(1).describe("fraction of the traffic: 0.10 is 10 %"),
}).superRefine(({ module, source }, context) => {
  if ((module === undefined) !== (source === undefined)) return;
  const message = module === undefined
    ? "neither module nor source; expected one of them"
    : "module and source; expected one of them";
  context.addIssue({ code: "custom", path: [], message });
}, always);

const Schema = z.strictObject({
  id: z.string().refine(isSchemaId, { error: SCHEMA_ID_RULE }).describe("the schema"),
  set: filePath.describe("a gzipped FileDescriptorSet, or a folder or file of .proto"),
  compatibility: z.enum(COMPATIBILITY_MODES).optional().describe(
    "how versions are held to those before; absent: as it is",
  ),
});

const paused = z.boolean().optional().describe("absent: as it is, and a new one is not paused");
const { secret: _secret, ...hook } = TenantHook.shape;
// Its secret is the bus's: a hook keeps it, and a new one gets one.
const Hook = z.strictObject({ id: id.describe("name of the hook"), ...hook, paused });

function isObject(text: string): boolean {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

const Schedule = z.strictObject({
  id: id.describe("name of the schedule"),
  ...SCHEDULE_MEMBERS,
  message: z.string().refine(isObject, { error: "expected JSON of an object" }).describe(
    "JSON of a message in the text form, without op and room: type, data, content_type, headers, ...",
  ),
  paused,
}).superRefine(refuseWhen, always);

const Reducer = z.strictObject({
  class: roomPattern.describe("pattern of a class of rooms with a reducer"),
  module: filePath.describe("the module, a .wasm file of the folder"),
});

/** The kinds, in the order in which they are shown, with the members that name one of each. */
export const KIND_NAMES = {
  policies: ["name"],
  schemas: ["id"],
  mappings: ["subject"],
  rooms: ["room"],
  mirror: ["prefix"],
  quotas: ["unit"],
  budgets: ["per", "unit", "action"],
  require_signature: ["role", "room"],
  hooks: ["id"],
  schedules: ["id"],
  reducers: ["class"],
} as const;
/** One of them. */
export type Kind = keyof typeof KIND_NAMES;
/** All of them. */
export const KINDS = Object.keys(KIND_NAMES) as Kind[];

/** A list of a kind, whose entries differ in what names them. */
function kind<Z extends z.ZodType>(list: Kind, entry: Z, max = RULES_MAX) {
  const members: readonly string[] = KIND_NAMES[list];
  const [what, shown = ""] = [members.join(" and "), members[0]];
  const same = { same: `the same ${what}`, expected: `expected each ${what} once` };
  return z.array(entry).max(max)
    .superRefine(refuseRepeated({ list, members: [...members], shown, ...same }), always)
    .optional();
}

/** One file. A kind that no file of the folder has stays as it is on the bus. */
export const StateFile = z.strictObject({
  tenant: id.optional().describe("whose state it is; in exactly one of the files"),
  policies: kind("policies", Policy, POLICIES_MAX).describe("all policies of the tenant"),
  schemas: kind("schemas", Schema).describe("schemas of the bus; others stay"),
  mappings: kind("mappings", SchemaMapping).describe("all mappings of the tenant"),
  rooms: kind("rooms", TenantRoomClass).describe("all room classes of the tenant"),
  mirror: kind("mirror", MirrorRule).describe("all mirror rules of the tenant"),
  quotas: kind("quotas", OwnQuota).describe(
    "quotas of the tenant's own, in place of the configuration's; for operators",
  ),
  budgets: kind("budgets", TenantBudget).describe("budgets of the tenant's own; for operators"),
  require_signature: kind("require_signature", SignatureRule).describe(
    "whose messages must be signed beside those that the configuration names",
  ),
  hooks: kind("hooks", Hook).describe("all hooks of the tenant but those of the configuration"),
  schedules: kind("schedules", Schedule, SCHEDULES_MAX).describe("all schedules of the tenant"),
  reducers: kind("reducers", Reducer).describe(
    "all modules that are deployed to classes of rooms, in place of the configuration's files",
  ),
});
/** What one file says. */
export type StateFile = z.output<typeof StateFile>;

/** The JSON Schema of such a file, for editors and error messages. */
export function stateJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(StateFile, { io: "input" });
  return { ...schema, title: "ArqonBus: the state of a tenant" } as JsonSchema;
}
