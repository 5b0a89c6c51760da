/** Capabilities that the configuration switches off are logged at the start. */
import assert from "node:assert/strict";
import { configFrom } from "../shared/config/load.ts";
import { SHIELD_CAPABILITIES } from "./capabilities.ts";
import { switchedOff } from "./capability.ts";
import { keptLog } from "./testing/spine.ts";

const MAPPING = { subject: "in.t.acme.r.*", schema_id: "chat", message: "chat.v1.Message" };

function announced(platform: Record<string, unknown>): string[] {
  const { log, lines } = keptLog();
  switchedOff({ capabilities: SHIELD_CAPABILITIES, config: configFrom({ platform }), log });
  return lines;
}

Deno.test("the defaults log nothing", () => {
  assert.deepEqual(announced({}), []);
});

Deno.test("each disabled part is skipped with a warning that names it", () => {
  for (const part of ["overseer", "mirroring", "registry"]) {
    const lines = announced({ [part]: { enabled: false } });
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, new RegExp(`^level=warn component=shield part=${part} .*skipped`));
  }
});

Deno.test("mirroring rules start silently; if mirroring is off, they are skipped with a warning", () => {
  const rules = [{ prefix: "in.t.acme.*", percent: 0.1 }, { prefix: "in.t.*", percent: 1 }];
  assert.deepEqual(announced({ mirroring: { rules } }), []);
  assert.match(announced({ mirroring: { enabled: false, rules } }).join(), /part=mirroring/);
});

Deno.test("schema mappings start silently; if the registry is off, they are skipped with a warning", () => {
  assert.deepEqual(announced({ registry: { mappings: [MAPPING] } }), []);
  const lines = announced({ registry: { enabled: false, mappings: [MAPPING] } });
  assert.match(lines.join(), /part=registry .*skipped/);
});
