/**
 * The process that `durable_kill_test.ts` kills: it appends to several rooms of an embedded log
 * without a pause, and writes a line for each message that was acknowledged. Not a test by itself.
 */
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { createLogger } from "../shared/logs/log.ts";
import { acknowledgement, KILL_RETENTION, KILL_ROOMS, KILL_TENANT } from "./durable_kill.ts";

/** Appends under way in each room. */
const AT_ONCE = 8;

const [data_dir = "", round = ""] = Deno.args;
const encoder = new TextEncoder();
const logger = createLogger({
  level: "warn",
  format: "logfmt",
  component: "child",
  now: Date.now,
  write: (line) => void Deno.stderr.writeSync(encoder.encode(line)),
});
const spine = openEmbedded({ log: logger, now: Date.now, data_dir });
const log = await spine.log(KILL_TENANT, KILL_RETENTION);

async function fill(room: string): Promise<never> {
  let next = 0;
  const one = async () => {
    for (;;) {
      const text = `${round}/${next++}`;
      const { offset } = await log.append(room, encoder.encode(text), { key: text });
      // At once: what is acknowledged must be known to the one who kills.
      Deno.stdout.writeSync(encoder.encode(acknowledgement({ room, text, offset })));
    }
  };
  return await Promise.race(Array.from({ length: AT_ONCE }, one));
}

await Promise.all(KILL_ROOMS.map(fill));
