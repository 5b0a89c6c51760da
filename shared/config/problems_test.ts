/** The message for each kind of wrong value: place, key, what is wrong, what would be right. */
import assert from "node:assert/strict";
import { refusalOf } from "./testing/refusal.ts";

function refused(text: string, expected: string | RegExp): void {
  const { message } = refusalOf(text);
  if (typeof expected === "string") assert.equal(message, expected);
  else assert.match(message, expected);
}

Deno.test("an unknown key is named with the key that was probably meant", () => {
  refused("[server]\nprot = 1\n", 'config.toml:2:1 server.prot: unknown key; did you mean "port"?');
  refused("[Server]\nport = 1\n", 'config.toml:1:2 Server: unknown key; did you mean "server"?');
  refused(
    "[[auth.issuer]]\nissuer = 'a'\n",
    'config.toml:1:8 auth.issuer: unknown key; did you mean "issuers"?',
  );
  refused(
    "[server]\nheartbeat = 25\n",
    'config.toml:2:1 server.heartbeat: unknown key; did you mean "heartbeat_ms"?',
  );
});

Deno.test("an unknown key that exists in another table is sent there", () => {
  refused(
    "fuel_limit = 1\n",
    'config.toml:1:1 fuel_limit: unknown key; did you mean "platform.overseer.fuel_limit"?',
  );
  refused(
    "port = 1\n",
    'config.toml:1:1 port: unknown key; did you mean "server.port" or "ops.port" or "admin.port"?',
  );
  refused(
    "[[rooms]]\nroom = 'a'\ngrowing = true\n",
    'config.toml:3:1 rooms[0].growing: unknown key; did you mean "[growing]"?',
  );
});

Deno.test("an unknown key without a similar one lists the existing keys", () => {
  refused(
    "[log]\ncolour = true\n",
    "config.toml:2:1 log.colour: unknown key; expected one of level, format; remove the line if it is for a newer ArqonBus",
  );
  refused(
    '[log]\n"a\\nb" = true\n',
    'config.toml:2:1 log."a\\nb": unknown key; expected one of level, format; remove the line if it is for a newer ArqonBus',
  );
});

Deno.test("keys of Object.prototype are unknown keys like any other", () => {
  for (const key of ["__proto__", "constructor", "toString"]) {
    refused(
      `[log]\n${key} = 1\n`,
      `config.toml:2:1 log.${key}: unknown key; expected one of level, format; remove the line if it is for a newer ArqonBus`,
    );
  }
});

const WRONG: [string, string][] = [
  [
    '[server]\nport = "4000"',
    '2:8 server.port: "4000" is a string; expected an integer from 0 to 65_535',
  ],
  ["[server]\nport = 1.5", "2:8 server.port: 1.5 is a float; expected an integer from 0 to 65_535"],
  [
    "[server]\nport = true",
    "2:8 server.port: true is a boolean; expected an integer from 0 to 65_535",
  ],
  [
    "[server]\nport = [1]",
    "2:8 server.port: [1] is an array; expected an integer from 0 to 65_535",
  ],
  [
    "[platform.mirroring.rules]",
    "1:21 platform.mirroring.rules: this is a table; expected an array of tables",
  ],
  [
    "[platform.registry.mappings]",
    "1:20 platform.registry.mappings: this is a table; expected an array of tables",
  ],
  ["[auth.issuers]\nprefix = 1", "1:7 auth.issuers: this is a table; expected an array of tables"],
  ["[nats]\nurls = [{}]", "2:9 nats.urls[0]: this is a table; expected a string in quotes"],
  ["[nats]\nurls = [[]]", "2:9 nats.urls[0]: [] is an array; expected a string in quotes"],
  [
    "[nats]\nurls = [1979-05-27]",
    "2:9 nats.urls[0]: 1979-05-27 is a date or time; expected a string in quotes",
  ],
  [
    "[server.port]\nx = 1",
    "1:9 server.port: this is a table; expected an integer from 0 to 65_535",
  ],
  [
    "[server]\nport = 2026-01-01",
    "2:8 server.port: 2026-01-01 is a date or time; expected an integer from 0 to 65_535",
  ],
  ["server = 1", "1:10 server: 1 is an integer; expected a table"],
  ["server = 2026-01-01", "1:10 server: 2026-01-01 is a date or time; expected a table"],
  ["[auth]\nissuers = [1]", "2:12 auth.issuers[0]: 1 is an integer; expected a table"],
  ["[auth]\nissuers = 1", "2:11 auth.issuers: 1 is an integer; expected an array of tables"],
  ["[auth]\nquery_token = 1", "2:15 auth.query_token: 1 is an integer; expected true or false"],
  ["[server]\nhost = 1", "2:8 server.host: 1 is an integer; expected a non-empty string in quotes"],
  [
    "[usage]\nretention_days = inf",
    "2:18 usage.retention_days: inf is a float; expected an integer from 1 to 3650",
  ],
  [
    "[usage]\nretention_days = nan",
    "2:18 usage.retention_days: nan is a float; expected an integer from 1 to 3650",
  ],
  [
    "[brain]\ntap = 'all'",
    "2:7 brain.tap: 'all' is a string; expected true or false or a number from 0 to 1",
  ],
];

const OUT_OF_RANGE: [string, string][] = [
  [
    "[server]\nport = 70_000",
    "2:8 server.port: 70_000 is out of range; expected an integer from 0 to 65_535",
  ],
  [
    "[server]\nport = -1",
    "2:8 server.port: -1 is out of range; expected an integer from 0 to 65_535",
  ],
  [
    "[auth]\nclock_skew_seconds = 99999999999999999999",
    "2:22 auth.clock_skew_seconds: 99999999999999999999 is out of range; expected an integer from 0 to 300",
  ],
  [
    "[brain]\ntap = 3",
    "2:7 brain.tap: 3 is out of range; expected true or false or a number from 0 to 1",
  ],
  ["[server]\nhost = ''", "2:8 server.host: '' is empty; expected a non-empty string in quotes"],
  ["[nats]\nurls = []", "2:8 nats.urls: [] is empty; expected a non-empty array of strings"],
  [
    "[platform.mirroring]\nrules = [{ prefix = 'in.*', percent = 10 }]",
    "2:39 platform.mirroring.rules[0].percent: 10 is out of range; expected a number from 0 to 1",
  ],
];

const ONE_SOURCE = "expected exactly one of jwks_file, jwks_url and pem_file";
const issuer = (keys: string) =>
  `[[auth.issuers]]\nissuer = "x"\naudience = "a"\ntenants = ["*"]\n${keys}\n`;

const NOT_ALLOWED: [string, string][] = [
  [
    "[policy]\nfail_closed = false",
    "2:15 policy.fail_closed: false is not allowed; expected true: a message whose policy cannot decide is always refused",
  ],
  [
    "[log]\nlevel = 'inf'",
    `2:9 log.level: 'inf' is not allowed; expected one of "debug", "info", "warn", "error" (did you mean "info"?)`,
  ],
  [
    "[server]\nnode_id = 'a.b'",
    "2:11 server.node_id: 'a.b' is not allowed; expected 1 to 64 of [A-Za-z0-9_~:=-]",
  ],
  [
    "[auth]\nrequire_signature = [{ role = 'user', room = '*x' }]",
    `2:46 auth.require_signature[0].room: '*x' is not allowed; expected a room id or a prefix followed by "*", for example "chat-*"`,
  ],
  [
    "[platform.registry]\nkv_bucket = 'a b'",
    "2:13 platform.registry.kv_bucket: 'a b' is not allowed; expected a bucket name of [A-Z0-9_]",
  ],
  [
    "[limits]\nanswer_ms = 10_000",
    "2:1 limits.answer_ms: it is a constant now, 10_000 (timeout for reading an answer; slower peers hold others up); remove the key",
  ],
  [
    "[platform.mirroring]\nbuffer_messages = 1",
    "2:1 platform.mirroring.buffer_messages: it is a constant now, 8192 (copies that wait; a slow mirror loses copies, never messages); remove the key",
  ],
  [
    "[limits]\nhandshake_burst = 1",
    '2:1 limits.handshake_burst: it is a constant now, "0.4 × limits.handshakes_per_second" (upgrades at once after a quiet time); remove the key',
  ],
  [
    "[[rooms]]\nroom = 'r'\njournal_bytes = 65_536",
    '3:1 rooms[0].journal_bytes: it is a constant now, "0.25 × log_bytes" (size of the journal of one tenant); remove the key',
  ],
  [
    "[[hooks]]\nid = 'h'\ntenant = 't'\nurl = 'https://h'\nsecret_file = 's'\ndead_letters = 1",
    "6:1 hooks[0].dead_letters: it is a constant now, 1000 (dead letters of one hook, for `arq hook`; beyond: the oldest go); remove the key",
  ],
  [
    '[server]\nwebsocket = "ws"',
    '2:13 server.websocket: "ws" is not allowed; expected one of "native", "own"',
  ],
  [issuer(""), `1:8 auth.issuers[0]: ${ONE_SOURCE}`],
  [issuer("pem_file = 'p'\njwks_file = 'j'"), `1:8 auth.issuers[0]: ${ONE_SOURCE}`],
  [
    issuer("pem_file = 'p'") + issuer("pem_file = 'p'"),
    "7:10 auth.issuers[1].issuer: the same issuer as auth.issuers[0]; expected each issuer once",
  ],
  [
    "[nats]\nrequest_timeout_ms = 1",
    '1:2 nats.urls: missing; expected a non-empty array of strings; add the line urls = ["…"]',
  ],
];

for (
  const [title, table] of [
    ["a wrong type", WRONG],
    ["an out-of-range value", OUT_OF_RANGE],
    ["a value that is not allowed", NOT_ALLOWED],
  ] as const
) {
  Deno.test(`${title} is named with its place, its key and what would be right`, () => {
    for (const [text, expected] of table) refused(`${text}\n`, `config.toml:${expected}`);
  });
}

Deno.test("a password in a refused URL is not repeated", () => {
  refused(
    "[nats]\nurls = ['http://user:secret@host:4222']\n",
    `config.toml:2:9 nats.urls[0]: 'http://***@host:4222' is not allowed; expected a URL such as "nats://127.0.0.1:4222"`,
  );
});

Deno.test("a long or many-line value is shown short and on one line", () => {
  refused(`[log]\nlevel = """${"x\n".repeat(500)}"""\n`, /^config\.toml:2:9 log\.level: .{1,200}$/);
});
