/**
 * Compares the calls of a receiver of hooks with the journals of members: each change once by its place, in order by
 * room. Pure.
 */
import type { ReceivedCall } from "../../hooks/receiver.ts";

/** The changes of a room in order, each as a line; by `tenant/room`. */
export type Changes = ReadonlyMap<string, readonly string[]>;

const TYPES: Readonly<Record<string, string>> = {
  "member.joined": "joined",
  "member.left": "left",
  "room.occupied": "occupied",
  "room.vacated": "vacated",
};

/** A change as a line; `data` as in the journal. */
export function lineOf(
  type: string,
  { sequence, connection_id = "" }: { readonly sequence: number; readonly connection_id?: string },
): string {
  return `${sequence} ${type} ${connection_id}`.trimEnd();
}

/** The problems of the accepted calls, in words. */
export function judgeCalls(taken: readonly ReceivedCall[], journals: Changes): string[] {
  const problems: string[] = [];
  const first = new Map<string, ReceivedCall>();
  for (const call of taken) if (!first.has(call.id)) first.set(call.id, call);
  const by_room = new Map<string, string[]>();
  for (const { body: { type, data } } of first.values()) {
    const key = `${data.tenant}/${data.room}`;
    const known = TYPES[type];
    if (known === undefined) problems.push(`${key}: a call ${type}`);
    else by_room.set(key, [...by_room.get(key) ?? [], lineOf(known, data.change)]);
  }
  for (const key of new Set([...journals.keys(), ...by_room.keys()])) {
    const written = journals.get(key) ?? [];
    const called = by_room.get(key) ?? [];
    const at = written.findIndex((line, at) => line !== called[at]);
    if (at >= 0) {
      problems.push(`${key}: "${called[at] ?? "nothing"}" was called for, not "${written[at]}"`);
    } else if (called.length > written.length) {
      problems.push(`${key}: "${called[written.length]}" was called for and never written`);
    }
  }
  return problems;
}
