/**
 * The form of a folder with a tenant's wanted state: TOML files, each with any of the kinds below; the same as
 * comparable values, and the differences of two states. Pure; `read_folder.ts` reads a folder, `export_text.ts` writes
 * one.
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
  listOnce,
  roomPattern,
} from "../../shared/config/values/schema_values.ts";
import { COMPATIBILITY_MODES, isSchemaId, SCHEMA_ID_RULE } from "../../shared/schema_id.ts";
import { HOOKS } from "../../shared/records/verdict.ts";
import { refuseWhen, SCHEDULE_MEMBERS, type When } from "../../shared/records/schedule.ts";

/** Most rules, mappings or classes of one tenant, of each kind; policies have 64. */
const RULES_MAX = 1_000;
const POLICIES_MAX = 64;
const SCHEDULES_MAX = 10_000;

/** A file of the folder, by its relative path. */
const filePath = z.string().min(1).max(256).refine(
  (path) => !/^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)/.test(path),
  { error: "expected the path of a file inside of the folder" },
);

const Policy = z.strictObject({
  name: id.describe("name of the policy"),
  module: filePath.optional().describe("the module, a .wasm file of the folder"),
  source: filePath.regex(/^[^"\\\p{Cc}]+\.ts$/u, { error: "expected a .ts file" }).optional()
    .describe("instead of module: a .ts file that is compiled"),
  room: roomPattern.default("*").describe("room id or prefix pattern"),
  hooks: z.array(z.enum(HOOKS)).min(1).refine((all) => new Set(all).size === all.length, {
    error: "expected each hook once",
  }).optional().describe("the hooks that call it; absent: every hook of the module"),
  order: z.int().min(-1_000_000).max(1_000_000).default(0).describe(
    "position in the chain: lower first; equal orders are sorted by name",
  ),
  mode: z.enum(["enforce", "observe"]).default("enforce").describe(
    "enforce its verdicts, or only compare them",
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
    "required compatibility with earlier versions; absent: unchanged",
  ),
});

const paused = z.boolean().optional().describe("absent: unchanged, and a new one is not paused");
const { secret: _secret, ...hook } = TenantHook.shape;
// The bus manages the secret: a hook keeps its own, and a new hook gets one.
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

/** The kinds, in display order, with the members that identify one of each. */
const KIND_NAMES = {
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
/** The name of a kind. */
export type Kind = keyof typeof KIND_NAMES;
/** All kinds, in display order. */
export const KINDS = Object.keys(KIND_NAMES) as Kind[];

/** The identity of one of a kind. */
export const nameOf = (kind: Kind, one: Thing): string =>
  KIND_NAMES[kind].map((member) => String(one[member])).join(" ");

/** A list of a kind, whose entries have different identities. */
function kind<Z extends z.ZodType>(list: Kind, entry: Z, max = RULES_MAX) {
  return listOnce(list, entry, max, KIND_NAMES[list]);
}

/** One file. The bus keeps a kind that no file of the folder has. */
export const StateFile = z.strictObject({
  tenant: id.optional().describe("the tenant of the state; in exactly one of the files"),
  policies: kind("policies", Policy, POLICIES_MAX).describe("all policies of the tenant"),
  schemas: kind("schemas", Schema).describe("schemas of the bus; others stay"),
  mappings: kind("mappings", SchemaMapping).describe("all mappings of the tenant"),
  rooms: kind("rooms", TenantRoomClass).describe("all room classes of the tenant"),
  mirror: kind("mirror", MirrorRule).describe("all mirror rules of the tenant"),
  quotas: kind("quotas", OwnQuota).describe(
    "the tenant's own quotas, which replace the configuration's; for operators",
  ),
  budgets: kind("budgets", TenantBudget).describe("the tenant's own budgets; for operators"),
  require_signature: kind("require_signature", SignatureRule).describe(
    "rooms whose messages must be signed, besides the configuration's",
  ),
  hooks: kind("hooks", Hook).describe("all hooks of the tenant except the configuration's"),
  schedules: kind("schedules", Schedule, SCHEDULES_MAX).describe("all schedules of the tenant"),
  reducers: kind("reducers", Reducer).describe(
    "all modules deployed to room classes, which replace the configuration's files",
  ),
});
export type StateFile = z.output<typeof StateFile>;

/** The members of a kind, in the order of the form. */
export const formOf = (kind: Kind): readonly string[] =>
  Object.keys((StateFile.shape[kind].unwrap() as z.ZodArray<z.ZodObject>).element.shape);

/** The JSON Schema of such a file, for editors and error messages. */
export function stateJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(StateFile, { io: "input" });
  return { ...schema, title: "ArqonBus: the state of a tenant" } as JsonSchema;
}

/** A policy without the bytes of its module. */
export interface StatePolicy {
  readonly name: string;
  readonly sha256: string;
  readonly room: string;
  readonly hooks: readonly string[];
  readonly order: number;
  readonly mode: string;
  readonly percent: number;
}

/** A schema, by its content: `unpacked_sha256` is the hash of the set without gzip. */
export interface StateSchema {
  readonly id: string;
  readonly unpacked_sha256: string;
  /** Absent in a wanted state: unchanged. */
  readonly compatibility: string | undefined;
}

/** A hook without its secret, which only the bus has. */
export interface StateHook extends Omit<TenantHook, "secret"> {
  readonly id: string;
  /** Absent in a wanted state: unchanged. */
  readonly paused?: boolean | undefined;
}

/** A schedule; its message is canonical JSON. */
export interface StateSchedule extends When {
  readonly id: string;
  readonly room: string;
  readonly message: string;
  readonly user: string;
  /** Absent in a wanted state: unchanged. */
  readonly paused?: boolean | undefined;
}

/** A module that is deployed to a class of rooms. */
export interface StateReducer {
  readonly class: string;
  readonly sha256: string;
}

/** The lists of a tenant; undefined ones are not managed. */
export interface State {
  readonly policies: readonly StatePolicy[] | undefined;
  readonly schemas: readonly StateSchema[] | undefined;
  readonly mappings: readonly SchemaMapping[] | undefined;
  readonly rooms: readonly TenantRoomClass[] | undefined;
  readonly mirror: readonly MirrorRule[] | undefined;
  readonly quotas: readonly OwnQuota[] | undefined;
  readonly budgets: readonly TenantBudget[] | undefined;
  readonly require_signature: readonly SignatureRule[] | undefined;
  readonly hooks: readonly StateHook[] | undefined;
  readonly schedules: readonly StateSchedule[] | undefined;
  readonly reducers: readonly StateReducer[] | undefined;
}

/** A wanted state with the content of the files that it names. */
export interface Desired {
  readonly tenant: string;
  readonly state: State;
  /** Modules of policies and reducers by their sha256. */
  readonly modules: ReadonlyMap<string, Uint8Array>;
  /** Gzipped sets by schema id. */
  readonly sets: ReadonlyMap<string, Uint8Array>;
  /** Whether it has the schemas of the bus, not of a tenant. */
  readonly is_bus?: boolean;
  /** Correct but surprising settings, in sentences. */
  readonly warnings: readonly string[];
}

/** One member that differs. */
export interface MemberChange {
  readonly member: string;
  /** Undefined: it did not exist. */
  readonly before: unknown;
  readonly after: unknown;
}

/** One thing that is added, changed or removed. */
export interface Change {
  readonly kind: Kind;
  readonly name: string;
  readonly action: "add" | "change" | "remove";
  /** Empty for a removal. */
  readonly members: readonly MemberChange[];
}

type Thing = Readonly<Record<string, unknown>>;

function text(value: unknown): string {
  // The order of hooks has no meaning.
  return JSON.stringify(Array.isArray(value) ? value.toSorted() : value) ?? "";
}

function membersBetween(names: readonly string[], before: Thing, after: Thing): MemberChange[] {
  const members = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return members
    .filter((member) => !names.includes(member) && text(before[member]) !== text(after[member]))
    .map((member) => ({ member, before: before[member], after: after[member] }));
}

/** Members that stay unchanged when absent. */
const KEPT: { readonly [One in Kind]?: readonly string[] } = {
  schemas: ["compatibility"],
  hooks: ["paused"],
  schedules: ["paused", "from_ms"],
};

function withKept(kind: Kind, thing: Thing, there: Thing | undefined): Thing {
  const omitted = (KEPT[kind] ?? []).filter((member) => thing[member] === undefined);
  return { ...thing, ...Object.fromEntries(omitted.map((member) => [member, there?.[member]])) };
}

function changesOf(kind: Kind, live: readonly Thing[], wanted: readonly Thing[]): Change[] {
  const names: readonly string[] = KIND_NAMES[kind];
  const before = new Map(live.map((thing) => [nameOf(kind, thing), thing]));
  const after = new Map(wanted.map((thing) => [nameOf(kind, thing), thing]));
  const kept: Change[] = [...after].flatMap(([name_, thing]) => {
    const there = before.get(name_);
    const members = membersBetween(names, there ?? {}, withKept(kind, thing, there));
    if (there !== undefined && members.length === 0) return [];
    return [{ kind, name: name_, action: there === undefined ? "add" : "change", members }];
  });
  // Schemas belong to the bus, and others may need them.
  const gone = kind === "schemas" ? [] : [...before.keys()].filter((one) => !after.has(one));
  const removed = gone.map((one): Change => ({ kind, name: one, action: "remove", members: [] }));
  return [...kept, ...removed].sort((a, b) => a.name < b.name ? -1 : 1);
}

/** All differences between the live and the wanted state, by kind and name. */
export function differences(live: State, wanted: State): Change[] {
  return KINDS.flatMap((kind) => {
    const list = wanted[kind];
    if (list === undefined) return [];
    const things = (given: unknown) => (given ?? []) as readonly Thing[];
    return changesOf(kind, things(live[kind]), things(list));
  });
}
