/** Live keys that a Shield reads at its start: what it keeps of them, a reload would not change. */
import assert from "node:assert/strict";
import { isLiveKey } from "../shared/config/keys/live_keys.ts";
import type { ConfigReloading } from "../shared/config/live/reload.ts";
import type { Config } from "../shared/config/schema.ts";
import { SHIELD_CAPABILITIES } from "./capabilities.ts";
import { startWith } from "./testing/lone_shield.ts";

/** Keys that are also read at each use. */
const READ_TWICE = ["limits.handshakes_per_second", "limits.memory_bytes"];

/** The table, whose live keys are noted when they are read. */
function noting(table: object, path: string, note: (key: string) => void): object {
  const members = Object.entries(table).map(([name, value]): [string, PropertyDescriptor] => {
    const key = path === "" ? name : `${path}.${name}`;
    if (isLiveKey(key)) return [name, { enumerable: true, get: () => (note(key), value) }];
    const is_table = typeof value === "object" && value !== null && !Array.isArray(value);
    return [name, { enumerable: true, value: is_table ? noting(value, key, note) : value }];
  });
  return Object.defineProperties({}, Object.fromEntries(members));
}

Deno.test("a live key that a Shield reads at its start is followed, or read again at each use", async () => {
  const read = new Set<string>();
  const followed = new Set<string>();
  const reloading: ConfigReloading = {
    follow: (keys) => keys.forEach((key) => followed.add(key)),
    onRead() {},
    reload: () => assert.fail("nothing is read again"),
    report: () => assert.fail("nobody asks"),
  };
  const of = (config: Config) => noting(config, "", (key) => read.add(key)) as Config;
  const more = {
    centrifugo: { enabled: true },
    journal: { journal: "all" },
    usage: { enabled: true },
  };
  const { shield, spine } = await startWith(SHIELD_CAPABILITIES, more, { of, reloading });
  const kept = [...read.difference(followed)].filter((key) => !READ_TWICE.includes(key));
  await shield.drain();
  await spine.drain();
  assert.deepEqual(kept, []);
});
