/**
 * What the kill test of the embedded Spine and its child have in common: the rooms, the lines, and the
 * check of what is stored against what was acknowledged. Pure.
 */
import type { Retention } from "../shared/spine/contract/durable_log.ts";

/** The log's owner. */
export const KILL_TENANT = "acme";
/** All are written at once. */
export const KILL_ROOMS: readonly string[] = ["orders", "chat", "ticks", "quiet"];
/** Nothing is trimmed: what is missing was lost. */
export const KILL_RETENTION: Retention = {
  history_size: 10_000_000,
  history_ttl_seconds: 86_400,
  replicas: undefined,
};

/** A bucket of keys and one of objects, of which one key after the other is written again and again. */
export const KILL_BUCKET = "TORN";

/**
 * A message that was acknowledged. Its text is `{round}/{number}`, numbers of a room from 0. Keys and objects stand as
 * rooms `key:{name}` and `object:{name}`, with their revision, or 0, as the offset.
 */
export interface Acknowledged {
  readonly room: string;
  readonly text: string;
  readonly offset: number;
}

/** A message as a room has it. */
export interface Stored {
  readonly text: string;
  readonly offset: number;
}

/** The line that says so. */
export function acknowledgement({ room, text, offset }: Acknowledged): string {
  return `${room} ${text} ${offset}\n`;
}

/** The messages of whole lines. Throws on a line that is none. */
export function readAcknowledgements(lines: readonly string[]): Acknowledged[] {
  return lines.map((line) => {
    const found = /^(\S+) (\d+\/\d+) (\d+)$/.exec(line);
    if (found === null) throw new Error(`not an acknowledgement: ${JSON.stringify(line)}`);
    return { room: found[1] ?? "", text: found[2] ?? "", offset: Number(found[3]) };
  });
}

/**
 * What is wrong with what a room holds; nothing, if all that was acknowledged is there at its offset,
 * and everything is there once and in the order in which it was appended, without a hole.
 */
export function problems(
  stored: readonly Stored[],
  acknowledged: readonly Acknowledged[],
): string[] {
  const found: string[] = [];
  const by_offset = new Map(stored.map(({ offset, text }) => [offset, text]));
  for (const { room, text, offset } of acknowledged) {
    const there = by_offset.get(offset);
    if (there !== text) found.push(`${room}: ${text} was acknowledged at ${offset}: ${there}`);
  }
  let last = { round: -1, number: -1, offset: 0 };
  for (const { text, offset } of stored) {
    const [round = -1, number = -1] = text.split("/").map(Number);
    const follows = round === last.round ? number === last.number + 1 : number === 0;
    if (offset <= last.offset || round < last.round || !follows) {
      found.push(`${text} at ${offset} after ${last.round}/${last.number} at ${last.offset}`);
    }
    last = { round, number, offset };
  }
  return found;
}

/** Whether what is stored is what was acknowledged last, or was written after it. */
export function isAsNew(stored: string, acknowledged: string): boolean {
  const [a, b] = [stored, acknowledged].map((text) => text.split("/").map(Number));
  const [[round = -1, number = -1], [least_round = -1, least_number = -1]] = [a ?? [], b ?? []];
  return round > least_round || (round === least_round && number >= least_number);
}
