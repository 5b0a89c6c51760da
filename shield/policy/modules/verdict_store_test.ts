/** Stored trials: for exact bytes, one transform and one engine, and a limited number. */
import assert from "node:assert/strict";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { keptLog, testSpine } from "../../testing/spine.ts";
import { Compiler } from "./compile.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { meteredGuest } from "../testing/guests.ts";
import { openVerdicts, type VerdictStoreOptions } from "./verdict_store.ts";

const ONE = "1".repeat(64);
const TWO = "2".repeat(64);
const METERED = "a".repeat(64);
const TRIAL = { metered_sha256: METERED, state_keys: '[{"key":"{user}"}]' };
const BUCKET = "ARQON_POLICY_VERDICTS";

/** Opens them as another process does: only stored entries are known. */
async function opened(spine: Spine, more: Partial<VerdictStoreOptions> = {}) {
  const { log, lines } = keptLog();
  const verdicts = await openVerdicts(spine, { engine: "v8 1", log, ...more });
  assert.ok(verdicts !== undefined);
  return Object.assign(verdicts, { lines });
}

Deno.test("a passed trial is known to every process and after a restart", async () => {
  await using engine = testSpine();
  const { spine } = engine;
  const here = await opened(spine);
  assert.equal(await here.passed(ONE), undefined);
  await here.remember(ONE, TRIAL);
  assert.deepEqual(await here.passed(ONE), TRIAL);
  const there = await opened(spine);
  assert.deepEqual(await there.passed(ONE), TRIAL);
  assert.equal(await there.passed(TWO), undefined);
  const upgraded = await opened(spine, { engine: "v8 2" });
  assert.equal(await upgraded.passed(ONE), undefined, "another engine has no passed trial");
});

Deno.test("a moved, changed or invented entry proves nothing", async () => {
  await using engine = testSpine();
  const bucket = await engine.spine.keyValue(BUCKET);
  await (await opened(engine.spine)).remember(ONE, TRIAL);
  const [key = []] = await bucket.keys();
  const { value } = (await bucket.get(key))!;
  const text = new TextDecoder().decode(value);
  const forged = [
    [[TWO, key[1]!], text],
    [key, text.replace(METERED, "b".repeat(64))],
    [key, text.replace("v8 1", "v8 9")],
    [key, text.replace('"format":2', '"format":1')],
    [key, text.replace("{user}", "{room}")],
    [key, text.slice(0, -9)],
    [key, "{}"],
    [key, ""],
  ] as const;
  for (const [at, entry] of forged) {
    await bucket.put([...at], new TextEncoder().encode(entry));
    const fresh = await opened(engine.spine);
    assert.equal(await fresh.passed(at[0]!), undefined, entry);
    assert.match(fresh.lines.join("\n"), /level=warn .*has other bytes/);
  }
});

Deno.test("the number of entries is limited, and the oldest are deleted", async () => {
  await using engine = testSpine();
  const names = Array.from({ length: 9 }, (_, at) => String(at).repeat(64));
  for (const name of names.slice(0, 8)) await (await opened(engine.spine)).remember(name, TRIAL);
  await (await opened(engine.spine, { max: 8 })).remember(names[8]!, TRIAL);
  const left = [];
  for (const name of names) {
    if (await (await opened(engine.spine)).passed(name) !== undefined) left.push(name[0]);
  }
  assert.deepEqual(left, ["3", "4", "5", "6", "7", "8"]);
});

Deno.test("a store that does not answer neither refuses a module nor ends the process", async () => {
  const engine = testSpine();
  const verdicts = await opened(engine.spine);
  await engine.spine.drain();
  await verdicts.remember(ONE, TRIAL);
  assert.match(verdicts.lines.join("\n"), /level=warn .*cannot be stored/);
  assert.equal(await verdicts.passed(TWO), undefined);
  const { log, lines } = keptLog();
  assert.equal(await openVerdicts(engine.spine, { engine: "v8 1", log }), undefined);
  assert.match(lines.join("\n"), /level=warn .*trial compilations are not stored/);
});

Deno.test("a passed trial is not repeated after a restart, but other bytes of its name are tried", async () => {
  await using engine = testSpine();
  const bytes = meteredGuest({ body: "i32.const 0" });
  const sha256 = await sha256Hex(bytes);
  await new Compiler({ verdicts: await opened(engine.spine) }).compile(sha256, bytes);
  // Nothing compiles within a hundredth of a millisecond, so every trial is refused.
  const limits = { cpu_ms: 0.01, memory_bytes: 2 ** 30 };
  const restarted = new Compiler({ limits, verdicts: await opened(engine.spine) });
  const { compiled } = await restarted.compile(sha256, bytes);
  assert.ok(compiled instanceof WebAssembly.Module);
  const other = meteredGuest({ body: "i32.const 1" });
  const again = new Compiler({ limits, verdicts: await opened(engine.spine) });
  await assert.rejects(again.compile(sha256, other), {
    name: "PolicyModuleError",
    reason: "compile-time",
  });
});
