/**
 * The process that `embedded_outage_test.ts` kills: it writes keys and objects of an embedded Spine
 * without a pause, and a line for each write that was acknowledged. Not a test by itself.
 */
import { createLogger } from "../../shared/logs/log.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";

const KEYS = 20;
const BUCKET = "TORN";

const [data_dir = "", round = ""] = Deno.args;
const encoder = new TextEncoder();
const log = createLogger({
  level: "warn",
  format: "logfmt",
  component: "child",
  now: Date.now,
  write: (line) => void Deno.stderr.writeSync(encoder.encode(line)),
});
const spine = openEmbedded({ log, now: Date.now, data_dir });
const bucket = await spine.keyValue(BUCKET);
const objects = await spine.objects(BUCKET);
const say = (line: string) => void Deno.stdout.writeSync(encoder.encode(`${line}\n`));
for (let number = 0;; number++) {
  const key = `k${number % KEYS}`;
  const text = `${round}/${number}`;
  const before = await bucket.get([key]);
  const revision = number % 2 === 0
    ? await bucket.put([key], encoder.encode(text))
    : await bucket.update([key], encoder.encode(text), before?.revision ?? 0);
  say(`key ${key} ${text} ${revision}`);
  if (number % 10 !== 0) continue;
  await objects.put(key, encoder.encode(text.padEnd(10_000, ".")));
  say(`object ${key} ${text} 0`);
}
