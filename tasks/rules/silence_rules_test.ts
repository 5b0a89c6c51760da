/** The rule for unreported failures. */
import assert from "node:assert/strict";
import { checkSilence } from "./silence_rules.ts";

const linesOf = (text: string, path = "shield/a.ts") =>
  checkSilence(path, text).map(({ line }) => line);

Deno.test("silence: a failure that is swallowed, or logged at debug, needs its reason", () => {
  for (
    const swallows of [
      "void read().catch(() => {});",
      "const found = await read().catch(() => undefined);",
      "const rows = await read().catch(() => []);",
      "const { length } = await read().catch(() => ({ length: 1 }));",
      "void publish().then(over, () => {});",
      "const is_there = read().then(() => true, () => false);",
      "await remove().catch((error) => log.debug('it stays', { error }));",
      "  this.#options.log.debug('it stays', { tenant_id, error });",
      "await Promise.allSettled(pages.map(remove));",
      'socket.on("error", () => {});',
      "try { read(); } catch {}",
    ]
  ) {
    assert.deepEqual(linesOf(`const at = 1;\nfirst();\n${swallows}\n`), [3], swallows);
    assert.deepEqual(linesOf(`// Why.\n\n\n${swallows}\n`), [4], swallows);
    assert.deepEqual(linesOf(`/** Never rejects. */\nfunction close() {\n${swallows}\n}`), [3]);
    if (swallows.startsWith("try")) continue;
    assert.deepEqual(linesOf(`// The next one tells.\n${swallows}\n`), []);
    assert.deepEqual(linesOf(`${swallows} // The next one tells.\n`), []);
  }
});

Deno.test("silence: a reported failure, or a result that is not a failure, needs no reason", () => {
  assert.deepEqual(linesOf("read().catch((error) => log.warn('not read', { error }));\n"), []);
  assert.deepEqual(linesOf("read().catch((error) => ({ problem: error }));\n"), []);
  assert.deepEqual(linesOf("log.debug('a connection ended', { connection_id });\n"), []);
  assert.deepEqual(linesOf("const all = await Promise.allSettled(pages.map(remove));\n"), []);
  assert.deepEqual(linesOf("const url = 'http://a';\nread().catch(() => {});\n"), [2]);
  assert.deepEqual(linesOf("// Why.\ntry { read(); }\ncatch {}\n"), [3]);
  assert.deepEqual(linesOf("try { read(); } catch {\n  // It is gone.\n}\n"), []);
});

Deno.test("silence: Python's SDK, too; tests may swallow", () => {
  const text = "try:\n    read()\nexcept OSError:\n    pass\nwith contextlib.suppress(OSError):\n";
  const path = "sdk/python/src/arqon/a.py";
  assert.deepEqual(linesOf(text, path), [3, 5]);
  assert.deepEqual(linesOf(text.replace("    pass", "    # Why.\n    pass\n# Why."), path), []);
  assert.deepEqual(linesOf(text, "sdk/python/tests/a.py"), []);
  assert.deepEqual(linesOf("read().catch(() => {});\n", "shield/a_test.ts"), []);
});
