/**
 * Writes a state as the files of a folder. Pure. The same state gives the same bytes, whoever made it in
 * whichever order: things are sorted, members stand as the form has them.
 */
import { HOOKS } from "../../shield/message/verdict.ts";
import { type Members, percentText } from "../answers/policy_text.ts";
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

function sorted<Thing>(list: readonly Thing[] | undefined, name: (thing: Thing) => string) {
  return (list ?? []).toSorted((a, b) => name(a) < name(b) ? -1 : Number(name(a) > name(b)));
}

/** The text of each file, by its name. */
export function exportTexts(tenant: string, state: State): Map<string, string> {
  const policies = (state.policies ?? []).toSorted((a, b) =>
    a.order - b.order || (a.name < b.name ? -1 : 1)
  ).map(({ name, room, hooks, order, mode, percent }) => ({
    name,
    module: moduleFile(name),
    room,
    hooks: HOOKS.filter((hook) => hooks.includes(hook)),
    order,
    mode,
    percent,
  }));
  const mappings = sorted(state.mappings, ({ subject }) => subject).map((
    { subject, schema_id, message, mode, unknown_fields },
  ) => ({ subject, schema_id, message, mode, unknown_fields }));
  const rooms = sorted(state.rooms, ({ room }) => room).map(({ room, ...options }) => ({
    room,
    ...Object.fromEntries(Object.entries(options).sort(([a], [b]) => a < b ? -1 : 1)),
  }));
  const mirror = sorted(state.mirror, ({ prefix }) => prefix)
    .map(({ prefix, percent }) => ({ prefix, percent }));
  const quotas = sorted(state.quotas, ({ unit }) => unit)
    .map(({ unit, per_second }) => ({ unit, per_second }));
  const budgets = sorted(state.budgets, ({ per, unit, action }) => `${per} ${unit} ${action}`).map((
    { per, unit, limit, action, messages_per_second },
  ) => ({ per, unit, limit, action, messages_per_second }));
  const signed = sorted(state.require_signature, ({ role, room }) => `${role} ${room}`)
    .map(({ role, room }) => ({ role, room }));
  const hooks = sorted(state.hooks, ({ id }) => id).map((
    { id, events, paused, ...said },
  ) => ({
    id,
    events: events.toSorted(),
    // What is not paused says nothing: a later pause by hand is nothing that an apply takes back.
    paused: paused || undefined,
    ...Object.fromEntries(Object.entries(said).sort(([a], [b]) => a < b ? -1 : 1)),
  }));
  const schedules = sorted(state.schedules, ({ id }) => id).map((
    { id, room, message, at_ms, every_ms, from_ms, cron, zone, until_ms, user, paused },
  ) => ({
    ...{ id, room, message, at_ms, every_ms, from_ms, cron, zone, until_ms, user },
    paused: paused || undefined,
  }));
  const reducers = sorted(state.reducers, (one) => one.class)
    .map((one) => ({ class: one.class, module: reducerFile(one.class) }));
  const files = new Map([
    ["tenant.toml", `${HEAD}\ntenant = ${JSON.stringify(tenant)}\n`],
    ["policies.toml", tables("policies", policies, "no policy decides")],
    ["schemas.toml", schemasText(state.schemas ?? [])],
    ["mappings.toml", tables("mappings", mappings, "no event is checked")],
    ["rooms.toml", tables("rooms", rooms, "rooms are as the configuration says")],
    ["mirror.toml", tables("mirror", mirror, "nothing is copied but by the configuration")],
    ["quotas.toml", tables("quotas", quotas, "those of the configuration hold")],
    ["budgets.toml", tables("budgets", budgets, "those of the configuration hold")],
    ["signatures.toml", tables("require_signature", signed, "only as the configuration demands")],
    ["hooks.toml", tables("hooks", hooks, "those of the configuration are called")],
    ["schedules.toml", tables("schedules", schedules, "nothing is published by itself")],
    ["reducers.toml", tables("reducers", reducers, "the configuration's files are in force")],
  ]);
  // What this bus does not have, or leaves to others, is not said to be none.
  for (const kind of ["hooks", "schedules", "reducers"] as const) {
    if (state[kind] === undefined) files.delete(`${kind}.toml`);
  }
  return files;
}

/** The text of the file that says which schemas the bus has. */
export function schemasText(all: readonly StateSchema[]): string {
  const schemas = sorted(all, ({ id }) => id).map(({ id, compatibility }) => ({
    id,
    set: setFile(id),
    compatibility,
  }));
  return tables("schemas", schemas, "no mapping needs one");
}

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
