/**
 * Compares who is in each room with who every client believes to be there. Pure: takes clients as
 * they stand and changes nothing.
 */
import type { Json, Member } from "../../sdk/typescript/mod.ts";

/** A client as this file sees it. */
export interface Attendee {
  readonly tenant_id: string;
  readonly user_id: string;
  /** Of its open connection; undefined: it has none. */
  readonly connection_id: string | undefined;
  readonly stays: readonly {
    readonly room_id: string;
    readonly observer: boolean;
    readonly meta: Json;
    /** What it was told. */
    readonly members: ReadonlyMap<string, Member>;
    readonly users: number;
  }[];
}

/** Who is in a room in truth, by connection id. */
export type Roll = ReadonlyMap<string, { readonly user_id: string; readonly meta: Json }>;

/** A client whose list of a room is wrong. */
export interface Difference {
  readonly tenant_id: string;
  readonly room_id: string;
  /** The list's owner. */
  readonly user_id: string;
  readonly connection_id: string | undefined;
  /** Connections that are there and not in the list. */
  readonly missing: readonly string[];
  /** Connections in the list that are not there. */
  readonly ghosts: readonly string[];
  /** Connections with another user or other metadata than they have. */
  readonly wrong: readonly string[];
  /** The number of users that it was told, when it is wrong. */
  readonly users: number | undefined;
}

/** Metadata is compared as text, over and over: nobody changes the objects. */
const texts = new WeakMap<object, string>();

function textOf(meta: Json): string {
  if (typeof meta !== "object" || meta === null) return JSON.stringify(meta);
  const text = texts.get(meta) ?? JSON.stringify(meta);
  texts.set(meta, text);
  return text;
}

const keyOf = (tenant_id: string, room_id: string) => `${tenant_id}/${room_id}`;

/** The members of every room, by `tenant/room`. A room that is only observed has an empty roll. */
export function rollsOf(clients: readonly Attendee[]): Map<string, Roll> {
  const rolls = new Map<string, Map<string, { user_id: string; meta: Json }>>();
  for (const { tenant_id, user_id, connection_id, stays } of clients) {
    for (const { room_id, observer, meta } of stays) {
      const key = keyOf(tenant_id, room_id);
      const roll = rolls.get(key) ?? new Map();
      rolls.set(key, roll);
      if (!observer && connection_id !== undefined) roll.set(connection_id, { user_id, meta });
    }
  }
  return rolls;
}

/** What is wrong with a list, or undefined. `users` is what the room's number was said to be. */
export function compareList(
  roll: Roll,
  members: ReadonlyMap<string, Member>,
  users: number,
): Pick<Difference, "missing" | "ghosts" | "wrong" | "users"> | undefined {
  const missing: string[] = [], wrong: string[] = [];
  for (const [connection_id, { user_id, meta }] of roll) {
    const member = members.get(connection_id);
    if (member === undefined) missing.push(connection_id);
    else if (member.user_id !== user_id || textOf(member.meta) !== textOf(meta)) {
      wrong.push(connection_id);
    }
  }
  const ghosts = [...members.keys()].filter((connection_id) => !roll.has(connection_id));
  const there = new Set([...roll.values()].map(({ user_id }) => user_id)).size;
  if (missing.length + wrong.length + ghosts.length === 0 && users === there) return undefined;
  return { missing, ghosts, wrong, users: users === there ? undefined : users };
}

/** Every list that is wrong; also those of clients that are not connected. */
export function findDifferences(clients: readonly Attendee[]): Difference[] {
  const rolls = rollsOf(clients);
  return clients.flatMap(({ tenant_id, user_id, connection_id, stays }) =>
    stays.flatMap(({ room_id, members, users }) => {
      const roll = rolls.get(keyOf(tenant_id, room_id)) ?? new Map();
      const found = compareList(roll, members, users);
      return found === undefined ? [] : [{ tenant_id, room_id, user_id, connection_id, ...found }];
    })
  );
}

/** One line a difference and connection; `name` describes a connection. At most `lines_max` lines. */
export function describeDifferences(
  differences: readonly Difference[],
  name: (connection_id: string) => string,
  lines_max: number,
): string[] {
  const watchers = new Map<string, string[]>();
  for (const difference of differences) {
    const { tenant_id, room_id, user_id, connection_id, missing, ghosts, wrong, users } =
      difference;
    const where = `${tenant_id}/${room_id}`;
    const who = connection_id === undefined ? `${user_id} (not connected)` : user_id;
    const texts = [
      ...missing.map((id) => `misses ${name(id)}`),
      ...ghosts.map((id) => `still has ${name(id)}`),
      ...wrong.map((id) => `has other metadata of ${name(id)}`),
      ...(users === undefined ? [] : [`was told of ${users} users`]),
    ];
    for (const text of texts) {
      const line = `${where}: a list ${text}`;
      watchers.set(line, [...(watchers.get(line) ?? []), who]);
    }
  }
  const lines = [...watchers].map(([line, users]) => {
    const named = users.slice(0, 5).join(", ");
    return `${line} [${users.length} lists: ${named}${users.length > 5 ? ", …" : ""}]`;
  });
  const left = lines.length - lines_max;
  return left > 0 ? [...lines.slice(0, lines_max), `… and ${left} more`] : lines;
}
