/** `[platform.registry]`: errors at a start, with line, key and what would be right. */
import assert from "node:assert/strict";
import { parseConfig } from "./load.ts";
import { refusalOf } from "./testing/refusal.ts";

const MAPPING = { subject: "in.t.acme.r.*", schema_id: "chat", message: "chat.v1.Message" };

const mapping = (more: Record<string, string>) =>
  "[[platform.registry.mappings]]\n" +
  Object.entries({ ...MAPPING, ...more }).map(([key, text]) => `${key} = "${text}"\n`).join("");

Deno.test("a mapping that can never hold stops the start with its line and its key", () => {
  const cases: [more: Record<string, string>, text: RegExp][] = [
    [{ subject: "out.t.acme.r.a" }, /^config\.toml:2:\d+ .*subject: .*nothing is published there/],
    [{ subject: "in.t.ac*e.r.a" }, /subject: .*stands alone between dots/],
    [{ schema_id: "a b" }, /^config\.toml:3:\d+ .*schema_id: .*1 to 128 of \[A-Za-z0-9_\.-\]/],
    [{ schema_id: "x".repeat(129) }, /schema_id/],
    [{ schema_id: "v1..made" }, /^config\.toml:3:\d+ .*schema_id: "v1\.\.made": .*two in a row/],
    [{ schema_id: "v1." }, /schema_id: .*without a dot at either end/],
    [{ message: ".chat.Message" }, /^config\.toml:4:\d+ .*message: .*full name of a message/],
    [{ mode: "sometimes" }, /mode: .*"enforce"/],
    [{ unknown_fields: "keep" }, /unknown_fields: .*"allow"/],
    [{ version: "1" }, /version/],
  ];
  for (const [more, text] of cases) assert.match(refusalOf(mapping(more)).message, text);
});

Deno.test("two mappings of one subject stop the start", () => {
  assert.match(
    refusalOf(mapping({}) + mapping({ schema_id: "other" })).message,
    /mappings\[1\]\.subject: .*the same subject as mappings\[0\]/,
  );
});

Deno.test("a mapping without options enforces, and allows unknown fields", () => {
  const { registry } = parseConfig(mapping({}), { file: "config.toml" }).platform;
  assert.deepEqual(registry.mappings, [{ ...MAPPING, mode: "enforce", unknown_fields: "allow" }]);
  assert.deepEqual(
    [registry.enabled, registry.kv_bucket, registry.cache_ttl_seconds, registry.versions],
    [true, "ARQON_SCHEMAS", 300, 1_000],
  );
});
