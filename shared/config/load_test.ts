/** Whole files in, a Config or one ConfigError out. problems_test.ts has the single messages. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { anyCharacter } from "../testing/any_character.ts";
import { ConfigError, configFrom, configText, parseConfig } from "./load.ts";
import { refusalOf } from "./testing/refusal.ts";

const file = "config.toml";

function refused(text: string, ...lines: string[]): void {
  assert.equal(refusalOf(text).message, lines.join("\n"));
}

Deno.test("an empty file gives every default", () => {
  const config = parseConfig("", { file });
  assert.equal(config.server.port, 4000);
  assert.equal(config.ops.port, 4001);
  assert.equal(config.admin.port, 4002);
  assert.equal(config.admin.host, "127.0.0.1");
  assert.equal(config.nats, undefined);
  assert.equal(config.policy.fail_closed, true);
  assert.equal(config.platform.overseer.fuel_limit, 10_000);
  assert.equal(config.platform.overseer.memory_limit_pages, 64);
  assert.equal(config.platform.registry.kv_bucket, "ARQON_SCHEMAS");
  assert.equal(config.platform.registry.cache_ttl_seconds, 300);
  assert.equal(config.log.format, "logfmt");
  assert.deepEqual(configFrom({}), config);
});

Deno.test("the example of the contract is accepted unchanged", () => {
  const config = parseConfig(
    `
[server]
host = "0.0.0.0"
port = 4000
[nats]
urls = ["nats://127.0.0.1:4222"]
[policy]
timeout_ms = 5
fail_closed = true
[platform.overseer]
enabled = true
fuel_limit = 10_000
memory_limit_pages = 64
[platform.mirroring]
enabled = true
rules = [{ prefix = "in.t.default.*", percent = 0.10 }]
[platform.registry]
enabled = true
kv_bucket = "ARQON_SCHEMAS"
cache_ttl_seconds = 300
[[platform.registry.mappings]]
subject = "in.t.default.r.orders"
schema_id = "orders"
message = "shop.v1.Order"
[[auth.issuers]]
issuer = "https://id.example.com/"
audience = "arqon"
jwks_url = "https://id.example.com/jwks.json"
algorithms = ["RS256", "EdDSA"]
tenants = ["*"]
roles = ["user", "service"]
`,
    { file },
  );
  assert.deepEqual(config.nats?.urls, ["nats://127.0.0.1:4222"]);
  assert.equal(config.nats?.request_timeout_ms, 2_000);
  assert.deepEqual(config.platform.mirroring.rules, [{ prefix: "in.t.default.*", percent: 0.1 }]);
  assert.equal(config.platform.registry.mappings[0]?.mode, "enforce");
  assert.deepEqual(config.auth.issuers[0]?.algorithms, ["RS256", "EdDSA"]);
});

Deno.test("a process has its own default ports, and the file overrides them", () => {
  const defaults = { ops_port: 4101, admin_port: 4102 };
  const plain = parseConfig("[ops]\nhost = '::1'\n", { file, defaults });
  assert.deepEqual([plain.ops, plain.admin.port], [{ host: "::1", port: 4101 }, 4102]);
  const set = parseConfig("[ops]\nport = 0\n[admin]\nport = 5\n", { file, defaults });
  assert.deepEqual([set.ops.port, set.admin.port], [0, 5]);
  assert.equal(
    refusalOf("ops = 1\n", defaults).message,
    "config.toml:1:7 ops: 1 is an integer; expected a table",
  );
});

Deno.test("a TOML syntax error is named with its place", () => {
  refused("[server\n", 'config.toml:1:8 the table header is not closed; expected "]"');
  refused(
    "[server]\nport =\n[ops]\n",
    'config.toml:2:7 the value is missing; expected one on the same line as "="',
  );
});

Deno.test("a duplicate key is reported at its second place", () => {
  refused(
    "[server]\nport = 1\nhost = 'a'\nport = 2\n",
    "config.toml:4:1 server.port: the key is defined twice; expected it once",
  );
  for (
    const [text, key] of [
      ["a = 1\na = 2\n", "a"],
      ["[server]\nport = 1\n[ops]\nport = 1\n[server] # again\nhost = 'x'\n", "server"],
      ["server.port = 1\n[server]\nport = 2\n", "server"],
      [
        "[platform]\noverseer.enabled = true\noverseer.enabled = true\n",
        "platform.overseer.enabled",
      ],
      ["quota = { url = 'a', url = 'b' }\n", "quota.url"],
      ["[[rooms]]\nroom = 'a'\n\"room\" = 'b'\n", "rooms.room"],
      ["[a]\nb = 1\n[a.b]\nc = 1\n", "a.b"],
    ] as const
  ) assert.equal(refusalOf(text).problems[0]?.key, key, text);
});

Deno.test("a file that is not UTF-8 is refused at the first place that is not", () => {
  const bytes = (text: string) => Uint8Array.from(text, (unit) => unit.charCodeAt(0));
  for (
    const [text, place] of [
      ["a = 1\nb = '\xe9'\n", "2:6"],
      ["\xff\xfe", "1:1"],
      ["# gr\xc3\xbc\xdfe\n", "1:6"],
      ["a = '\xe2\x82", "1:6"],
      ["a = '\xc0\x80'\n", "1:6"],
      ["a = '\xed\xa0\x80'\n", "1:6"],
    ] as const
  ) {
    assert.throws(() => configText(bytes(text), file), {
      name: "ConfigError",
      message: `config.toml:${place} it is not UTF-8 from here on; expected a file in UTF-8`,
    });
  }
  assert.equal(configText(new TextEncoder().encode("# grüße €🙂"), file), "# grüße €🙂");
});

Deno.test("several problems are all named, in the order of the file", () => {
  refused(
    `[log]
level = "loud"
[policy]
fail_closed = false
[server]
prot = 4000
port = "x"
tls_key = "key.pem"
[[auth.issuers]]
issuer = "a"
`,
    `config.toml:2:9 log.level: "loud" is not allowed; expected one of "debug", "info", "warn", "error"`,
    "config.toml:4:15 policy.fail_closed: false is not allowed; expected true: a message whose policy cannot decide is always refused",
    'config.toml:6:1 server.prot: unknown key; did you mean "port"?',
    'config.toml:7:8 server.port: "x" is a string; expected an integer from 0 to 65_535',
    "config.toml:8:11 server.tls_key: tls_key is set without tls_cert; expected both or neither",
    'config.toml:9:8 auth.issuers[0].audience: missing; expected a non-empty string in quotes; add the line audience = "…"',
    'config.toml:9:8 auth.issuers[0].tenants: missing; expected a non-empty array of strings; add the line tenants = ["…"]',
    "config.toml:9:8 auth.issuers[0]: expected exactly one of jwks_file, jwks_url and pem_file",
  );
});

Deno.test("at most 20 problems are printed, and the rest is counted", () => {
  const keys = Array.from({ length: 50 }, (_, index) => `unknown_key_${index} = 1\n`).join("");
  const error = refusalOf(keys);
  assert.equal(error.problems.length, 50);
  const lines = error.message.split("\n");
  assert.equal(lines.length, 21);
  assert.equal(lines[20], "and 30 more");
});

Deno.test("a drain that would end before its window is refused", () => {
  refused(
    "[server]\ndrain_ms = 20_000\ndrain_timeout_ms = 39_999\n",
    "config.toml:3:20 server.drain_timeout_ms: 39_999 is not allowed; expected at least twice drain_ms",
  );
  const text = "[server]\ndrain_ms = 20_000\ndrain_timeout_ms = 40_000\n";
  assert.equal(parseConfig(text, { file }).server.drain_timeout_ms, 40_000);
  // An error elsewhere in the table is not attributed to them.
  refused(
    "[server]\ndrain_ms = -1\n",
    "config.toml:2:12 server.drain_ms: -1 is out of range; expected an integer from 0 to 600_000",
  );
});

const issuer = (keys: string) =>
  `[[auth.issuers]]\nissuer = "x"\naudience = "a"\ntenants = ["*"]\n${keys}\n`;

Deno.test("keys are fetched over https, or http from a loopback address", () => {
  const urls: [string, boolean][] = [
    ["https://id.example.com/jwks.json", true],
    ["http://127.0.0.1:8080/jwks.json", true],
    ["http://localhost/jwks.json", true],
    ["http://[::1]:1/jwks.json", true],
    ["http://id.example.com/jwks.json", false],
    ["http://127.0.0.1.example.com/", false],
    ["http://localhost.example.com/", false],
    ["file:///etc/passwd", false],
    ["not a url", false],
  ];
  for (const [url, accepted] of urls) {
    const text = issuer(`jwks_url = "${url}"`);
    if (accepted) parseConfig(text, { file });
    else {
      refused(
        text,
        `config.toml:5:12 auth.issuers[0].jwks_url: "${url}" is not allowed; expected an https URL (http only on a loopback address)`,
      );
    }
  }
});

Deno.test("a value from code is checked by the same rules, without places", () => {
  const error = (value: unknown) => {
    try {
      configFrom(value);
    } catch (thrown) {
      assert.ok(thrown instanceof ConfigError);
      return thrown.message;
    }
    assert.fail("accepted");
  };
  assert.equal(
    error({ server: { port: 70_000, prot: 1 } }),
    "server.port: 70000 is out of range; expected an integer from 0 to 65_535\n" +
      'server.prot: unknown key; did you mean "port"?',
  );
  assert.equal(error(null), "null is null; expected a table");
  assert.equal(error({ log: null }), "log: null is null; expected a table");
  assert.equal(configFrom({ server: { port: 0 } }, { ops_port: 7 }).ops.port, 7);
});

Deno.test("any text is a configuration or a ConfigError, and never anything else", () => {
  const line = fc.oneof(
    fc.constantFrom(
      "[server]",
      "[[auth.issuers]]",
      "[nats]",
      "port = 1",
      "port = ",
      "x.y = {a = 1}",
      "urls = ['a', 1, {}]",
      "issuers = [[], {}, 1]",
      "tenants = 2026-01-01",
      "__proto__ = 1",
    ),
    fc.string({ unit: anyCharacter, maxLength: 40 }),
  );
  fc.assert(fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
    try {
      parseConfig(lines.join("\n"), { file });
    } catch (error) {
      assert.ok(error instanceof ConfigError, String(error));
      assert.ok(error.problems.length > 0);
      for (const problem of error.problems) assert.ok(problem.position !== undefined);
    }
  }));
});

Deno.test("any value from code is a configuration or a ConfigError, and never anything else", () => {
  const part = fc.anything({ withBigInt: true, withDate: true, withNullPrototype: true });
  const value = fc.record({ server: part, auth: part, nats: part, log: part, x: part }, {
    requiredKeys: [],
  });
  fc.assert(
    fc.property(fc.oneof(value, part), (given) => {
      try {
        configFrom(given);
      } catch (error) {
        assert.ok(error instanceof ConfigError, String(error));
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("constants are next to the keys of their tables, and code can pass others", () => {
  const plain = parseConfig("", { file: "c.toml" });
  assert.deepEqual([plain.limits.answer_ms, plain.platform.mirroring.candidates], [10_000, 1_000]);
  assert.equal(plain.quota, undefined, "an absent table stays absent");
  const quick = configFrom({ limits: { answer_ms: 5 }, quota: { url: "redis://127.0.0.1" } });
  assert.deepEqual([quick.limits.answer_ms, quick.quota?.active_tenants], [5, 100_000]);
  assert.throws(() => parseConfig("[limits]\nanswer_ms = 5\n", { file: "c.toml" }), ConfigError);
});
