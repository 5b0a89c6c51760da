/** The rule for unreported failures. */
import assert from "node:assert/strict";
import { checkSilence } from "./size_rules.ts";

const linesOf = (text: string) => checkSilence("shield/a.ts", text).map(({ line }) => line);

Deno.test("silence: a failure that is swallowed, or logged at debug, needs its reason", () => {
  for (
    const swallows of [
      "void read().catch(() => {});",
      "const found = await read().catch(() => undefined);",
      "const rows = await read().catch(() => []);",
      "void publish().then(over, () => {});",
      "await remove().catch((error) => log.debug('it stays', { error }));",
      "  this.#options.log.debug('it stays', { tenant_id, error });",
    ]
  ) {
    assert.deepEqual(linesOf(`const at = 1;\nfirst();\n${swallows}\n`), [3], swallows);
    assert.deepEqual(linesOf(`// Why.\n\n\n${swallows}\n`), [4], swallows);
    assert.deepEqual(linesOf(`// The next one tells.\n${swallows}\n`), []);
    assert.deepEqual(linesOf(`/** Never rejects. */\nclose(): void {\n${swallows}\n`), []);
    assert.deepEqual(linesOf(`${swallows} // The next one tells.\n`), []);
  }
});

Deno.test("silence: a reported failure, or a result that is not a failure, needs no reason", () => {
  assert.deepEqual(linesOf("read().catch((error) => log.warn('not read', { error }));\n"), []);
  assert.deepEqual(linesOf("log.debug('a connection ended', { connection_id });\n"), []);
  assert.deepEqual(linesOf("const url = 'http://a';\nread().catch(() => {});\n"), [2]);
});
