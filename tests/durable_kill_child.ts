/**
 * The process that `durable_kill_test.ts` kills: it appends to several rooms of an embedded log and writes keys and
 * objects without a pause, and prints a line for each acknowledgement. Not a test.
 */
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { testLog } from "../shared/testing/logs.ts";
import { turn } from "../shared/testing/pace.ts";
import {
  acknowledgement,
  KILL_BUCKET,
  KILL_RETENTION,
  KILL_ROOMS,
  KILL_TENANT,
} from "./durable_kill.ts";

/** Concurrent appends in each room. */
const AT_ONCE = 8;
const KEYS = 20;

const [data_dir = "", round = ""] = Deno.args;
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

await Promise.all([...KILL_ROOMS.map(fill), fillBucket()]);
