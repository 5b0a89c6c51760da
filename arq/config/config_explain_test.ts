// The explanation of every key and table of the configuration, and of unknown names.
import assert from "node:assert/strict";
import { LIVE_KEYS } from "../../shared/config/keys/live_keys.ts";
import {
  type ConfigEntry,
  configEntry,
  explainKey,
  explanationText,
} from "../commands/setup/config.ts";

const entries = (entry: ConfigEntry): ConfigEntry[] => [entry, ...entry.members.flatMap(entries)];

Deno.test("every key and table is found by its name, with its meaning", () => {
  const root = configEntry();
  const all = entries(root).slice(1);
  assert.ok(all.length > 100);
  for (const entry of all) {
    const { found } = explainKey(entry.key, root);
    assert.equal(found?.key, entry.key);
    assert.notEqual(found?.description, "", entry.key);
    assert.match(explanationText(entry), entry.kind === "key" ? / {2}.*; / : /^\[/);
  }
});

Deno.test("a key is found in any spelling; its last part suffices if it is unique", () => {
  const key = (text: string) => explainKey(text).found?.key;
  assert.equal(key("[server]"), "server");
  assert.equal(key("[[auth.issuers]]"), "auth.issuers");
  assert.equal(key("auth.issuers[0].issuer"), "auth.issuers.issuer");
  assert.equal(key("drain_ms"), "server.drain_ms");
  assert.equal(key(""), "");
  const port = explainKey("port");
  assert.ok(port.found === undefined);
  assert.deepEqual(port.same, ["server.port", "ops.port", "admin.port"]);
});

Deno.test("an unknown name is answered with similar names", () => {
  const near = (text: string) => {
    const explained = explainKey(text);
    return explained.found === undefined ? explained.near : undefined;
  };
  assert.deepEqual(near("server.prot"), ["server.port"]);
  assert.ok(near("nats.heartbeat_ms")?.includes("server.heartbeat_ms"));
  assert.deepEqual(near("xyzzy"), []);
});

Deno.test("a key is shown with its type, default and bounds", () => {
  const { found } = explainKey("server.drain_ms");
  assert.deepEqual([found?.minimum, found?.maximum, found?.default], [0, 600_000, 5_000]);
  assert.match(
    explanationText(found as ConfigEntry),
    /^server\.drain_ms\n.*\n {2}an integer from 0 to 600_000; default 5000\n {2}live: .*\n\n {2}\[server\] {2}drain_ms = 5000\n$/,
  );
  const { found: url } = explainKey("nats.urls");
  assert.match(explanationText(url as ConfigEntry), /a non-empty array of strings; required/);
});

Deno.test("a key is shown as live or as needing a restart, as in the promised list", () => {
  const text = (key: string) => explanationText(explainKey(key).found as ConfigEntry);
  assert.match(text("server.drain_ms"), /\n {2}live: .* on SIGHUP or POST \/v1\/config\/reload\n/);
  assert.match(text("server.tls_cert"), /\n {2}live: .*, while it is set\n/);
  assert.match(text("server.port"), /\n {2}not live: another value needs a restart\n/);
  // A table marks each live key.
  assert.match(text("server"), /\n {2}drain_ms +.*; live\n/);
  assert.doesNotMatch(text("server"), /\n {2}port +.*; live\n/);
  for (const entry of entries(configEntry())) {
    const { key, kind, live } = entry;
    const promised = LIVE_KEYS.some((one) => key === one || key.startsWith(`${one}.`));
    assert.equal(live, kind === "key" ? promised : undefined, key);
  }
});
