/**
 * Shared by the kill test of the embedded Spine and its child: the rooms, the lines, and the check of the stored
 * messages against the acknowledged ones. Pure.
 */
import type { Retention } from "../shared/spine/contract/durable_log.ts";

/** The log's owner. */
export const KILL_TENANT = "acme";
/** All are written concurrently. */
export const KILL_ROOMS: readonly string[] = ["orders", "chat", "ticks", "quiet"];
/** Nothing is trimmed: a missing message was lost. */
export const KILL_RETENTION: Retention = {
  history_size: 10_000_000,
  history_ttl_seconds: 86_400,
  replicas: undefined,
};

/** A bucket of keys and one of objects, whose keys are rewritten one after the other. */
export const KILL_BUCKET = "TORN";

/**
 * An acknowledged message. Its text is `{round}/{number}`, with numbers of a room from 0. Keys and objects are recorded
 * as rooms `key:{name}` and `object:{name}`, with their revision, or 0, as the offset.
 */
export interface Acknowledged {
  readonly room: string;
  readonly text: string;
  readonly offset: number;
}

/** A stored message of a room. */
export interface Stored {
  readonly text: string;
  readonly offset: number;
}

/** The line for an acknowledgement. */
export function acknowledgement({ room, text, offset }: Acknowledged): string {
  return `${room} ${text} ${offset}\n`;
}

/** The messages of whole lines. Throws on an invalid line. */
export function readAcknowledgements(lines: readonly string[]): Acknowledged[] {
  return lines.map((line) => {
    const found = /^(\S+) (\d+\/\d+) (\d+)$/.exec(line);
    if (found === null) throw new Error(`not an acknowledgement: ${JSON.stringify(line)}`);
    return { room: found[1] ?? "", text: found[2] ?? "", offset: Number(found[3]) };
  });
}

/**
 * The problems of a room's content; none if all acknowledged messages are at their offsets, and everything is stored
 * once and in the order of the appends, without a gap.
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

/** Whether the stored value is the last acknowledged one, or was written after it. */
export function isAsNew(stored: string, acknowledged: string): boolean {
  const [a, b] = [stored, acknowledged].map((text) => text.split("/").map(Number));
  const [round = -1, number = -1] = a ?? [];
  const [least_round = -1, least_number = -1] = b ?? [];
  return round > least_round || (round === least_round && number >= least_number);
}
