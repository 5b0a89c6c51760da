/**
 * Writes a state as the files of a folder. Pure. The same state always gives the same bytes: things are sorted, members
 * are in the order of the form.
 */
import { HOOKS } from "../../shared/records/verdict.ts";
import { listOf, type Members, percentText } from "../answers/policy_text.ts";
import { formOf, type Kind, KINDS, nameOf } from "./form.ts";
import type { State, StateReducer, StateSchema } from "./form.ts";

/** The names of the files that an export writes, besides modules and sets. */
export const SCHEMA_FILE = "state.schema.json";
const HEAD = `#:schema ./${SCHEMA_FILE}\n`;

const moduleFile = (name: string) => `modules/${name}.wasm`;
/** The file of a class's module: ids contain no dot, so no two classes share a file. */
const reducerFile = (pattern: string) => `reducers/${pattern.replace("*", ".all")}.wasm`;
/** The file of a schema's set. */
export const setFile = (id: string) => `schemas/${id}.binpb.gz`;

function tables(list: string, entries: readonly Members[], what: string): string {
  if (entries.length === 0) return `${HEAD}\n# None: ${what}.\n${list} = []\n`;
  const blocks = entries.map((entry) => {
    const lines = Object.entries(entry).filter(([, value]) => value !== undefined)
      .map(([member, value]) => `${member} = ${tomlOf(value)}${noteOf(member, value)}\n`);
    return `\n[[${list}]]\n${lines.join("")}`;
  });
  return HEAD + blocks.join("");
}

/** A fraction is easily read as a percentage, so a comment gives it in percent. */
const noteOf = (member: string, value: unknown) =>
  member === "percent" ? ` # ${percentText(value)}` : "";

/** A value in TOML; a JSON string is also a TOML string. */
function tomlOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlOf).join(", ")}]`;
  // TOML requires this one character to be escaped, JSON does not.
  return JSON.stringify(value).replaceAll("\x7f", "\\u007f");
}

/** The file of each kind, and its comment when there are none. */
const FILES: Readonly<Record<Kind, readonly [file: string, none: string]>> = {
  policies: ["policies", "no policies"],
  schemas: ["schemas", "no mapping needs one"],
  mappings: ["mappings", "no event is checked"],
  rooms: ["rooms", "the configuration's classes apply"],
  mirror: ["mirror", "only the configuration's rules copy messages"],
  quotas: ["quotas", "the configuration's quotas apply"],
  budgets: ["budgets", "the configuration's budgets apply"],
  require_signature: ["signatures", "only the configuration requires signatures"],
  hooks: ["hooks", "the configuration's hooks are called"],
  schedules: ["schedules", "no message is scheduled"],
  reducers: ["reducers", "the configuration's files are in force"],
};
/** A bus may lack these kinds or manage them elsewhere, so no file says that there are none. */
const NOT_EVERYWHERE: readonly Kind[] = ["hooks", "schedules", "reducers"];

/** Where a file differs from the bus: a module's path instead of its hash, and sorted lists. */
const WRITTEN: { readonly [One in Kind]?: (one: Members) => Members } = {
  policies: ({ name, hooks }) => ({
    module: moduleFile(String(name)),
    hooks: HOOKS.filter((hook) => listOf(hooks).includes(hook)),
  }),
  schemas: ({ id }) => ({ set: setFile(String(id)) }),
  // An unpaused hook has no `paused`, so that an apply does not undo a later manual pause.
  hooks: ({ events, paused }) => ({
    events: listOf(events).toSorted(),
    paused: paused || undefined,
  }),
  schedules: ({ paused }) => ({ paused: paused || undefined }),
  reducers: (one) => ({ module: reducerFile(String(one["class"])) }),
};

function kindText(kind: Kind, list: readonly object[] = []): string {
  const placeOf = (one: Members) => nameOf(kind, one);
  const things = list.map((one): Members => ({ ...one })).toSorted((a, b) =>
    kind === "policies" && a["order"] !== b["order"]
      ? Number(a["order"]) - Number(b["order"])
      : placeOf(a) < placeOf(b)
      ? -1
      : Number(placeOf(a) > placeOf(b))
  );
  const entries = things.map((one) => {
    const written: Members = { ...one, ...WRITTEN[kind]?.(one) };
    return Object.fromEntries(formOf(kind).map((member) => [member, written[member]]));
  });
  return tables(kind, entries, FILES[kind][1]);
}

/** The text of each file, by its name. */
export function exportTexts(tenant: string, state: State): Map<string, string> {
  const kinds = KINDS.filter((kind) => state[kind] !== undefined || !NOT_EVERYWHERE.includes(kind));
  return new Map([
    ["tenant.toml", `${HEAD}\ntenant = ${JSON.stringify(tenant)}\n`],
    ...kinds.map((kind) => [`${FILES[kind][0]}.toml`, kindText(kind, state[kind])] as const),
  ]);
}

/** The text of the file that lists the schemas of the bus. */
export const schemasText = (all: readonly StateSchema[]): string => kindText("schemas", all);

/** The files of modules and sets: by path, with the place of a module's bytes on the bus, or the id of a schema. */
export function exportFiles(tenant: string, state: State): {
  readonly modules: ReadonlyMap<string, string>;
  readonly sets: ReadonlyMap<string, string>;
} {
  const query = new URLSearchParams({ tenant });
  const of_policies = (state.policies ?? []).map(({ name, sha256 }) =>
    [moduleFile(name), `/v1/policies/modules/${sha256}?${query}`] as const
  );
  const of_classes = (state.reducers ?? []).map((one) =>
    [reducerFile(one.class), reducerModulePath(tenant, one)] as const
  );
  const sets = (state.schemas ?? []).map((one) => [setFile(one.id), one.id] as const);
  return { modules: new Map([...of_policies, ...of_classes]), sets: new Map(sets) };
}

/** Path of the admin API for a module of a room class. */
export function reducerModulePath(
  tenant: string,
  { class: pattern, sha256 }: StateReducer,
): string {
  const place = ["tenants", tenant, "reducers", pattern, "modules", sha256];
  return `/v1/${place.map(encodeURIComponent).join("/")}`;
}
