/** A configuration that changes while components use it: what changes, what is reported, what is refused. */
import assert from "node:assert/strict";
import { LiveConfig } from "./live_config.ts";
import { LIVE_KEYS } from "../keys/live_keys.ts";
import { ConfigReload } from "./reload.ts";
import { ConfigError, configFrom, parseConfig } from "../load.ts";
import { configJsonSchema, schemaAt } from "../json_schema.ts";
import { keptLog } from "../../testing/logs.ts";
import { turnsDuring } from "../../testing/turns_during.ts";

const PAIR = { tls_cert: "a.pem", tls_key: "a.key" };

Deno.test("live config: a holder of a table sees its live keys change, and the others stay", () => {
  const live = new LiveConfig(configFrom({}));
  const { limits, log } = live.config;
  const next = configFrom({
    limits: { rooms_per_connection: 3, max_frame_bytes: 2_048 },
    log: { level: "debug", format: "json" },
  });
  assert.deepEqual(live.change(next), {
    changed: ["limits.rooms_per_connection", "log.level"],
    needs_restart: ["limits.max_frame_bytes", "log.format"],
  });
  assert.deepEqual([limits.rooms_per_connection, limits.max_frame_bytes], [3, 262_144]);
  assert.deepEqual([log.level, log.format], ["debug", "logfmt"]);
  assert.throws(() => Object.assign(limits, { rooms_per_connection: 9 }), TypeError);
  // Keys that wait for a restart are reported each time.
  assert.deepEqual(live.change(next).needs_restart, ["limits.max_frame_bytes", "log.format"]);
});

Deno.test("live config: a part is notified once per change, of its keys only, if they have changed", () => {
  const live = new LiveConfig(configFrom({}));
  const notified: number[] = [];
  live.follow(["limits.connections_per_user", "limits.rooms_per_connection"], () => {
    notified.push(live.config.limits.connections_per_user);
  });
  live.change(configFrom({ limits: { connections_per_user: 1, rooms_per_connection: 300 } }));
  live.change(
    configFrom({
      limits: { connections_per_user: 1, rooms_per_connection: 300, connections_per_tenant: 99 },
    }),
  );
  live.change(configFrom({}));
  assert.deepEqual(notified, [1, 12_000]);
});

Deno.test("live config: what a part makes of a change is made in turns with others, and put in force with it", async () => {
  const live = new LiveConfig(configFrom({}));
  const applied: number[] = [];
  live.follow(
    ["limits.connections_per_user"],
    (made: number) => void applied.push(made),
    function* ({ limits }) {
      for (let step = 0; step < 10_000; step++) yield;
      return limits.connections_per_user;
    },
  );
  const next = configFrom({ limits: { connections_per_user: 7 } });
  const { value, turns } = await turnsDuring(() => live.prepare(next));
  assert.ok(turns > 40, `${turns} turns`);
  assert.deepEqual(applied, []);
  live.change(next, value);
  live.change(configFrom({ limits: { connections_per_user: 8 } }));
  assert.deepEqual(applied, [7, 8]);
});

Deno.test("live config: a part that begins to follow during or after a change gets it, too", async () => {
  const live = new LiveConfig(configFrom({}));
  const applied: number[] = [];
  const follow = () =>
    live.follow(
      ["limits.connections_per_user"],
      (made: number) => void applied.push(made),
      function* ({ limits }) {
        yield;
        return limits.connections_per_user;
      },
    );
  const next = configFrom({ limits: { connections_per_user: 7 } });
  const prepared = await live.prepare(next);
  follow();
  assert.deepEqual(applied, []);
  live.change(next, prepared);
  assert.deepEqual(applied, [7]);
  follow();
  assert.deepEqual(applied, [7, 7]);
});

Deno.test("live config: a constant derived from a live key follows it, and does not count as a changed key", () => {
  const live = new LiveConfig(configFrom({}));
  const { limits } = live.config;
  const next = configFrom({ limits: { handshakes_per_second: 1_000, strangers: 10 } });
  assert.deepEqual(live.change(next), {
    changed: ["limits.handshakes_per_second"],
    needs_restart: ["limits.strangers"],
  });
  assert.deepEqual([limits.handshake_burst, limits.strangers_per_address], [400, 768]);
});

Deno.test("live config: lists, tables of values and keys without a default are one key each", () => {
  const live = new LiveConfig(configFrom({}));
  const { usage, platform } = live.config;
  const rules = [{ prefix: "in.t.default.*", percent: 0.5 }];
  const next = configFrom({
    usage: { prices: { fuel: 2 } },
    platform: { mirroring: { rules } },
    admin: { operator_tenants: ["ops"] },
    rooms: [{ room: "a" }],
  });
  const { changed, needs_restart } = live.change(next);
  assert.deepEqual([...changed].sort(), [
    "admin.operator_tenants",
    "platform.mirroring.rules",
    "rooms",
    "usage.prices",
  ]);
  assert.deepEqual(needs_restart, []);
  assert.deepEqual([usage.prices, platform.mirroring.rules], [{ fuel: 2 }, rules]);
  assert.deepEqual(live.config.admin.operator_tenants, ["ops"]);
  assert.equal(live.config.rooms[0]?.room, "a");
  live.change(configFrom({}));
  assert.equal(live.config.admin.operator_tenants, undefined);
});

Deno.test("live config: a missing table, and enabling or disabling TLS, need a restart", () => {
  const plain = configFrom({});
  const tls = configFrom({ server: PAIR });
  const quota = configFrom({ quota: { url: "redis://127.0.0.1:1" } });
  const live = new LiveConfig(plain);
  assert.deepEqual(live.change(quota), { changed: [], needs_restart: ["quota"] });
  assert.deepEqual(live.change(tls).needs_restart, ["server.tls_cert", "server.tls_key"]);
  assert.equal(live.config.server.tls_cert, undefined);
  const with_tls = new LiveConfig(tls);
  assert.deepEqual(with_tls.change(plain).needs_restart, ["server.tls_cert", "server.tls_key"]);
  const other = configFrom({ server: { tls_cert: "b.pem", tls_key: "a.key" } });
  assert.deepEqual(with_tls.change(other).changed, ["server.tls_cert"]);
  assert.equal(with_tls.config.server.tls_cert, "b.pem");
});

Deno.test("live config: live keys that contradict keys that need a restart change nothing", () => {
  const live = new LiveConfig(configFrom({ server: { drain_ms: 1_000, drain_timeout_ms: 2_000 } }));
  const next = configFrom({
    server: { drain_ms: 5_000, drain_timeout_ms: 10_000 },
    limits: { connections_per_user: 1 },
  });
  assert.throws(
    () => live.change(next),
    (error) =>
      error instanceof ConfigError && /drain_timeout_ms.*need a restart/.test(error.message),
  );
  assert.deepEqual([live.config.server.drain_ms, live.config.limits.connections_per_user], [
    1_000,
    12_000,
  ]);
});

Deno.test("live config: a broken file changes nothing, and its report has the reason", async () => {
  const texts = [
    "[limits]\nconnections_per_user = 1\n",
    "[limits]\nconnections_per_use = 2\n",
    "[limits]\nconnections_per_user = 3\n",
  ];
  let now_ms = 1_000;
  const now = () => now_ms;
  const { log, lines } = keptLog({ level: "info", now });
  const read = () => parseConfig(texts.shift() ?? "", { file: "c.toml" });
  const reload = new ConfigReload({ started: read(), file: "c.toml", read, log, now });
  now_ms = 2_000;
  const refused = await reload.reload("SIGHUP");
  assert.match(refused.problem ?? "", /^c\.toml:2:1 limits\.connections_per_use: unknown key/);
  assert.deepEqual([
    refused.loaded_ms,
    refused.changed,
    refused.values["limits.connections_per_user"],
  ], [
    1_000,
    [],
    1,
  ]);
  assert.match(lines.join(""), /level=error .*by=SIGHUP .*stays in force/);
  const taken = await reload.reload("root");
  assert.deepEqual([taken.problem, taken.loaded_ms, taken.changed], [null, 2_000, [
    "limits.connections_per_user",
  ]]);
  assert.equal(reload.config.limits.connections_per_user, 3);
  // Files that the configuration names.
  const read_again: (() => Promise<string[]>)[] = [
    () => Promise.resolve(["auth.issuers[0].jwks_file"]),
    () => Promise.reject(new Error("keys.json holds no key")),
  ];
  reload.onRead(() => read_again.shift()!());
  texts.push("[limits]\nconnections_per_user = 3\n", "[limits]\nconnections_per_user = 4\n");
  assert.deepEqual((await reload.reload("root")).changed, ["auth.issuers[0].jwks_file"]);
  const { problem, changed } = await reload.reload("root");
  assert.deepEqual([problem, changed], ["keys.json holds no key", ["limits.connections_per_user"]]);
  assert.equal(reload.config.limits.connections_per_user, 4);
});

Deno.test("live keys: each is a key of the schema, which marks it, and no other key", () => {
  const root = configJsonSchema();
  const named = new Set<string>();
  const walk = (node: typeof root, path: string) => {
    if (node["x-live"] === true) named.add(path);
    for (const [name, child] of Object.entries(node.properties ?? {})) {
      walk(child, path === "" ? name : `${path}.${name}`);
    }
  };
  walk(root, "");
  for (const key of LIVE_KEYS) {
    const node = schemaAt(root, key.split("."));
    assert.ok(node !== undefined, `${key} is no key`);
    const inside = Object.values((node.items ?? node).properties ?? {});
    assert.ok([node, ...inside].some((one) => one["x-live"] === true), key);
  }
  for (const path of named) {
    assert.ok(LIVE_KEYS.some((key) => path === key || path.startsWith(`${key}.`)), path);
  }
});
