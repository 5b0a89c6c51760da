/** What a start says about platform parts: warnings for what is off, a stop for what would fail open. */
import assert from "node:assert/strict";
import { configFrom } from "../shared/config/load.ts";
import { announcePlatform, PlatformError } from "./platform.ts";
import { keptLog } from "./test_spine.ts";

const MAPPING = { subject: "in.t.acme.r.*", schema_id: "chat", message: "chat.v1.Message" };

function announced(platform: Record<string, unknown>): string[] {
  const { log, lines } = keptLog();
  announcePlatform(configFrom({ platform }).platform, log);
  return lines;
}

Deno.test("with everything as it comes, nothing is said", () => {
  assert.deepEqual(announced({}), []);
});

Deno.test("each part that is switched off is skipped with a warning that names it", () => {
  for (const part of ["overseer", "mirroring", "registry"]) {
    const lines = announced({ [part]: { enabled: false } });
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, new RegExp(`^level=warn component=shield part=${part} .*skipped`));
  }
});

Deno.test("mirroring rules start, with a warning that they have no effect yet", () => {
  const rules = [{ prefix: "in.t.acme.*", percent: 0.1 }, { prefix: "in.t.*", percent: 1 }];
  const lines = announced({ mirroring: { rules } });
  assert.equal(lines.length, 1);
  assert.match(lines[0]!, /^level=warn component=shield part=mirroring rules=2 .*no effect/);
  assert.equal(announced({ mirroring: { enabled: false, rules } }).length, 1, "only the skip");
});

Deno.test("schema mappings stop the start, because every message would pass unchecked", () => {
  assert.throws(() => announced({ registry: { mappings: [MAPPING] } }), (error) => {
    assert.ok(error instanceof PlatformError);
    assert.match(error.message, /^platform\.registry\.mappings: .*enabled = false$/);
    return true;
  });
  const lines = announced({ registry: { enabled: false, mappings: [MAPPING] } });
  assert.match(lines.join("\n"), /part=registry .*skipped/);
});
