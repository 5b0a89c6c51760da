/** What would change: two states compared, thing by thing and member by member. Pure. */
import { KIND_NAMES, KINDS } from "./form.ts";
import type { Kind } from "./form.ts";
import type { State } from "./state.ts";

/** One member that differs. */
export interface MemberChange {
  readonly member: string;
  /** Undefined: there is none. */
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
  // The order of hooks means nothing.
  return JSON.stringify(Array.isArray(value) ? value.toSorted() : value) ?? "";
}

function membersBetween(names: readonly string[], before: Thing, after: Thing): MemberChange[] {
  const members = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return members
    .filter((member) => !names.includes(member) && text(before[member]) !== text(after[member]))
    .map((member) => ({ member, before: before[member], after: after[member] }));
}

/** Members that stay as they are where nothing is said of them. */
const KEPT: { readonly [One in Kind]?: readonly string[] } = {
  schemas: ["compatibility"],
  hooks: ["paused"],
  schedules: ["paused", "from_ms"],
};

function withKept(kind: Kind, thing: Thing, there: Thing | undefined): Thing {
  const unsaid = (KEPT[kind] ?? []).filter((member) => thing[member] === undefined);
  return { ...thing, ...Object.fromEntries(unsaid.map((member) => [member, there?.[member]])) };
}

function changesOf(kind: Kind, live: readonly Thing[], wanted: readonly Thing[]): Change[] {
  const names: readonly string[] = KIND_NAMES[kind];
  const nameOf = (thing: Thing) => names.map((member) => String(thing[member])).join(" ");
  const before = new Map(live.map((thing) => [nameOf(thing), thing]));
  const after = new Map(wanted.map((thing) => [nameOf(thing), thing]));
  const kept: Change[] = [...after].flatMap(([name_, thing]) => {
    const there = before.get(name_);
    const members = membersBetween(names, there ?? {}, withKept(kind, thing, there));
    if (there !== undefined && members.length === 0) return [];
    return [{ kind, name: name_, action: there === undefined ? "add" : "change", members }];
  });
  // Schemas are the bus's, and others may need them.
  const gone = kind === "schemas" ? [] : [...before.keys()].filter((one) => !after.has(one));
  const removed = gone.map((one): Change => ({ kind, name: one, action: "remove", members: [] }));
  return [...kept, ...removed].sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Everything that is to be otherwise than it is, by kind and name. */
export function differences(live: State, wanted: State): Change[] {
  return KINDS.flatMap((kind) => {
    const list = wanted[kind];
    if (list === undefined) return [];
    const things = (given: unknown) => (given ?? []) as readonly Thing[];
    return changesOf(kind, things(live[kind]), things(list));
  });
}
