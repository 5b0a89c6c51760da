/**
 * Writes a state as the files of a folder. Pure. The same state gives the same bytes, whoever made it in
 * whichever order: things are sorted, members are in the order of the form.
 */
import { HOOKS } from "../../shield/message/verdict.ts";
import { listOf, type Members, percentText } from "../answers/policy_text.ts";
import { formOf, type Kind, KINDS, nameOf } from "./form.ts";
import type { State, StateReducer, StateSchema } from "./form.ts";

/** The names of the files that an export writes, besides modules and sets. */
export const SCHEMA_FILE = "state.schema.json";
const HEAD = `#:schema ./${SCHEMA_FILE}\n`;

const moduleFile = (name: string) => `modules/${name}.wasm`;
/** The file of a class's module: a dot is in no id, so no two have the same. */
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

/** A fraction is easily taken for a percentage, which is said beside it. */
const noteOf = (member: string, value: unknown) =>
  member === "percent" ? ` # ${percentText(value)}` : "";

/** A value in TOML; a string of JSON is one of TOML. */
function tomlOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlOf).join(", ")}]`;
  // TOML has this one character escaped, JSON as it is.
  return JSON.stringify(value).replaceAll("\x7f", "\\u007f");
}

/** The file of each kind, and what it says where there is none. */
const FILES: Readonly<Record<Kind, readonly [file: string, none: string]>> = {
  policies: ["policies", "no policy decides"],
  schemas: ["schemas", "no mapping needs one"],
  mappings: ["mappings", "no event is checked"],
  rooms: ["rooms", "rooms are as the configuration says"],
  mirror: ["mirror", "nothing is copied but by the configuration"],
  quotas: ["quotas", "those of the configuration hold"],
  budgets: ["budgets", "those of the configuration hold"],
  require_signature: ["signatures", "only as the configuration demands"],
  hooks: ["hooks", "those of the configuration are called"],
  schedules: ["schedules", "nothing is published by itself"],
  reducers: ["reducers", "the configuration's files are in force"],
};
/** Where a bus does not have these, or leaves them to others, they are not said to be none. */
const NOT_EVERYWHERE: readonly Kind[] = ["hooks", "schedules", "reducers"];

/** What a file says otherwise than the bus: the place of a file for its hash, and lists in one order. */
const SAID: { readonly [One in Kind]?: (one: Members) => Members } = {
  policies: ({ name, hooks }) => ({
    module: moduleFile(String(name)),
    hooks: HOOKS.filter((hook) => listOf(hooks).includes(hook)),
  }),
  schemas: ({ id }) => ({ set: setFile(String(id)) }),
  // What is not paused says nothing: a later pause by hand is nothing that an apply takes back.
  hooks: ({ events, paused }) => ({
    events: listOf(events).toSorted(),
    paused: paused || undefined,
  }),
  schedules: ({ paused }) => ({ paused: paused || undefined }),
  reducers: (one) => ({ module: reducerFile(String(one["class"])) }),
};

/** The text of the file of a kind. */
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
    const said: Members = { ...one, ...SAID[kind]?.(one) };
    return Object.fromEntries(formOf(kind).map((member) => [member, said[member]]));
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

/** The text of the file that says which schemas the bus has. */
export const schemasText = (all: readonly StateSchema[]): string => kindText("schemas", all);

/** The files of modules and sets: by path, where the bus has a module's bytes, or the id of a schema. */
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

/** Where the bus has, and takes, a module of a class of rooms. */
export function reducerModulePath(
  tenant: string,
  { class: pattern, sha256 }: StateReducer,
): string {
  const place = ["tenants", tenant, "reducers", pattern, "modules", sha256];
  return `/v1/${place.map(encodeURIComponent).join("/")}`;
}
