/**
 * What the kill test of the embedded Spine kills: a program that appends to several rooms of an embedded log and writes
 * keys and objects without a pause, and prints a line for each acknowledgement. Also those rooms and lines, and the
 * check of the stored messages against the acknowledged ones. Not a test.
 */
import type { Retention } from "../shared/spine/contract/durable_log.ts";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { testLog } from "../shared/testing/logs.ts";
import { turn } from "../shared/testing/pace.ts";

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
function acknowledgement({ room, text, offset }: Acknowledged): string {
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

/** Concurrent appends in each room. */
const AT_ONCE = 8;
const KEYS = 20;

async function writeWithoutPause(data_dir: string, round: string): Promise<never> {
  const encoder = new TextEncoder();
  const spine = openEmbedded({ log: testLog("warn"), now: Date.now, data_dir });
  const log = await spine.log(KILL_TENANT, KILL_RETENTION);
  const bucket = await spine.keyValue(KILL_BUCKET);
  const objects = await spine.objects(KILL_BUCKET);
  /** Synchronous: the killer must know what was acknowledged. */
  const say = (room: string, text: string, offset: number) =>
    void Deno.stdout.writeSync(encoder.encode(acknowledgement({ room, text, offset })));

  async function fill(room: string): Promise<never> {
    let next = 0;
    const one = async () => {
      for (;;) {
        const text = `${round}/${next++}`;
        const { offset } = await log.append(room, encoder.encode(text), { key: text });
        say(room, text, offset);
      }
    };
    return await Promise.race(Array.from({ length: AT_ONCE }, one));
  }

  async function fillBucket(): Promise<never> {
    for (let number = 0;; number++) {
      const key = `k${number % KEYS}`;
      const text = `${round}/${number}`;
      const before = await bucket.get([key]);
      const revision = number % 2 === 0
        ? await bucket.put([key], encoder.encode(text))
        : await bucket.update([key], encoder.encode(text), before?.revision ?? 0);
      say(`key:${key}`, text, revision);
      // The log gets its turns, too.
      await turn();
      if (number % 10 !== 0) continue;
      await objects.put(key, encoder.encode(text.padEnd(10_000, ".")));
      say(`object:${key}`, text, 0);
    }
  }

  return await Promise.race([...KILL_ROOMS.map(fill), fillBucket()]);
}

if (import.meta.main) await writeWithoutPause(Deno.args[0] ?? "", Deno.args[1] ?? "");
