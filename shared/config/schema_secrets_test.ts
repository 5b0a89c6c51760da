/** Which keys of secrets can be combined, and the error for other combinations. */
import assert from "node:assert/strict";
import { namedFiles } from "./named_files.ts";
import { parseConfig } from "./load.ts";
import { refusalOf } from "./testing/refusal.ts";

const accepted = (text: string) => parseConfig(text, { file: "config.toml" });

/** The one problem of the file is at that key, and says so; no password is shown. */
function refused(text: string, key: string, expected: RegExp): void {
  const [first, ...others] = refusalOf(text).problems;
  assert.deepEqual([first?.key, others], [key, []], text);
  assert.match(first?.text ?? "", expected);
  assert.doesNotMatch(first?.text ?? "", /hun/);
}

const nats = (lines: string, urls = "nats://h") => `[nats]\nurls = ["${urls}"]\n${lines}`;
const quota = (lines: string, url = "redis://h") => `[quota]\nurl = "${url}"\n${lines}`;

Deno.test("each way to log in to NATS is complete alone", () => {
  for (
    const text of [
      nats(""),
      nats('user = "a"\npassword_file = "p"'),
      nats('password_file = "p"', "nats://a@h"),
      nats('user = "a"\npassword_file = "p"', "nats://a@h"),
      nats('token_file = "t"'),
      nats('nkey_file = "n"'),
      nats('credentials_file = "c"', "tls://h"),
      nats("", "nats://a:b@h"),
      nats("", "nats://token@h"),
      nats('tls_ca_file = "c"\ntls_cert_file = "c"\ntls_key_file = "k"'),
      nats('nkey_file = "n"\ntls_cert_file = "c"\ntls_key_file = "k"'),
    ]
  ) accepted(text);
});

Deno.test("two logins of NATS, or half of one, are refused at their key, without a password", () => {
  for (
    const [text, key, expected] of [
      [nats('user = "a"'), "nats.user", /expected password_file beside it/],
      [nats('password_file = "p"'), "nats.password_file", /expected user beside it/],
      [
        nats('password_file = "p"', "nats://a:hunter2@h"),
        "nats.password_file",
        /urls hold one too/,
      ],
      [nats('token_file = "t"', "nats://hunter2@h"), "nats.token_file", /urls hold one too/],
      [nats('nkey_file = "n"', "nats://a:hunter2@h"), "nats.nkey_file", /urls hold one too/],
      [nats('credentials_file = "n"', "nats://a:hunter2@h"), "nats.credentials_file", /urls hold/],
      [
        nats('user = "a"\npassword_file = "p"\ntoken_file = "t"'),
        "nats.token_file",
        /expected one login: password_file is set too/,
      ],
      [
        nats('nkey_file = "n"\ncredentials_file = "c"'),
        "nats.credentials_file",
        /nkey_file is set/,
      ],
      [
        nats('user = "a"\npassword_file = "p"', "nats://b@h"),
        "nats.user",
        /expected one user: urls hold another/,
      ],
      [nats('tls_cert_file = "c"'), "nats.tls_cert_file", /without tls_key_file/],
      [nats('tls_key_file = "c"'), "nats.tls_key_file", /without tls_cert_file/],
      [nats('password_file = ""\nuser = "a"'), "nats.password_file", /is empty/],
    ] as const
  ) refused(text, key, expected);
});

Deno.test("the quota server has one login, and TLS if it is encrypted", () => {
  for (
    const text of [
      quota('password_file = "p"'),
      quota('password_file = "p"', "redis://a@h"),
      quota('tls_ca_file = "c"\ntls_cert_file = "c"\ntls_key_file = "k"', "rediss://h"),
    ]
  ) accepted(text);
  for (
    const [text, key, expected] of [
      [quota('password_file = "p"', "redis://:hunter2@h"), "quota.password_file", /url holds one/],
      [quota('tls_ca_file = "c"'), "quota.tls_ca_file", /redis:\/\/ is not encrypted/],
      [quota('tls_cert_file = "c"', "rediss://h"), "quota.tls_cert_file", /without tls_key_file/],
    ] as const
  ) refused(text, key, expected);
});

Deno.test("headers of exports are in their file, and one that is not is not shown", () => {
  const text = '[[telemetry.otlp_headers]]\nname = "a"\nvalue = "hunter2"\n';
  refused(text, "telemetry.otlp_headers", /headers_file/);
});

/** A list with a secret in a file, an entry of it; then the line of the file, and the key that is refused. */
const IN_FILES = [
  ["hooks", 'id = "h"\ntenant = "t"\nurl = "https://h"\n', 'secret_file = "s"', "secret"],
  ["pusher.apps", 'id = "a"\ntenant = "t"\nkey = "k"\n', 'secret_file = "s"', "secret"],
  ["centrifugo.api_keys", 'tenant = "t"\n', 'key_file = "s"', "key"],
] as const;

Deno.test("a secret of hooks, apps and keys is in a file, and one that is not is not shown", () => {
  for (const [list, lines, line, key] of IN_FILES) {
    const entry = `[[${list}]]\n${lines}`;
    accepted(`${entry}${line}`);
    refused(entry, `${list}[0].${key}_file`, new RegExp(`^missing; .*${key}_file`));
    refused(
      `${entry}${line}\n${key} = "hunter2 hunter2 hunter2"`,
      `${list}[0].${key}`,
      new RegExp(`^the configuration has no secrets; expected ${key}_file = "PATH"$`),
    );
  }
});

Deno.test("the URL of a hook has no password, and one that has is not shown", () => {
  const hook = (lines: string) => `[[hooks]]\nid = "h"\ntenant = "t"\nurl = "https://h"\n${lines}`;
  for (const url of ["ftp://h", "https://u:hunter2@h", "h"]) {
    refused(hook('secret_file = "s"').replace("https://h", url), "hooks[0].url", /expected/);
  }
});

Deno.test("a bridge has one database, and its password is never shown", () => {
  const bridge = (lines: string) => `[bridge.postgres]\ntenant = "t"\n${lines}\n`;
  accepted(bridge('database = "postgres://b:p@h/app"'));
  accepted(bridge('database_file = "f"\nmode = "polling"'));
  for (const lines of ["", 'database = "postgres://h/app"\ndatabase_file = "f"']) {
    refused(bridge(lines), "bridge.postgres", /exactly one of database and database_file/);
  }
  refused(
    bridge('database = "mysql://b:hunter2@h/app"'),
    "bridge.postgres.database",
    /expected a URL such as "postgres:/,
  );
  const database = 'database = "postgres://h/app"\n';
  for (const key of ['slot = "A-b"', "poll_ms = 250", "waiting_messages = 1", 'mode = "push"']) {
    refused(bridge(`${database}${key}`), `bridge.postgres.${key.split(" ")[0]}`, /./);
  }
});

Deno.test("an operators' port is on loopback unless configured otherwise, and each TLS pair is complete", () => {
  const { ops, admin } = accepted("");
  assert.deepEqual([ops.host, admin.host], ["127.0.0.1", "127.0.0.1"]);
  for (const table of ["server", "ops", "admin"]) {
    accepted(`[${table}]\ntls_cert = "c"\ntls_key = "k"\n`);
    for (const [one, other] of [["tls_cert", "tls_key"], ["tls_key", "tls_cert"]]) {
      const expected = new RegExp(`without ${other}; expected both or neither`);
      refused(`[${table}]\n${one} = "c"\n`, `${table}.${one}`, expected);
    }
  }
});

Deno.test("a password with any character of a URL is hidden in error texts", () => {
  for (const url of ["http://u:hunter2@h", "http://u:hun/ter2@h", "http://u:a@hunter2@h"]) {
    refused(`[quota]\nurl = "${url}"\n`, "quota.url", /./);
  }
});

Deno.test("every file that a configuration names is known by its key, and which ones are secret", () => {
  const config = accepted(
    `[server]
tls_cert = "1"
tls_key = "2"
[ops]
tls_cert = "3"
tls_key = "4"
token_file = "5"
[admin]
tls_cert = "6"
tls_key = "7"
operator_tenants = ["*"]
${
      nats(
        'user = "a"\npassword_file = "8"\ntls_ca_file = "9"\ntls_cert_file = "10"\ntls_key_file = "11"',
      )
    }
${quota('password_file = "12"\ntls_ca_file = "13"', "rediss://h")}
[telemetry]
headers_file = "14"
[[auth.issuers]]
issuer = "i"
audience = "a"
jwks_file = "15"
tenants = ["t"]
[[hooks]]
id = "h"
tenant = "t"
url = "https://h"
secret_file = "17"
[bridge.postgres]
tenant = "t"
database_file = "16"
`,
  );
  const files = namedFiles(config);
  assert.deepEqual(
    files.map(({ path }) => Number(path)),
    Array.from({ length: 17 }, (_, at) => at + 1),
  );
  assert.deepEqual(files.filter(({ is_private }) => is_private).map(({ key }) => key), [
    "server.tls_key",
    "ops.tls_key",
    "ops.token_file",
    "admin.tls_key",
    "nats.password_file",
    "nats.tls_key_file",
    "quota.password_file",
    "telemetry.headers_file",
    "bridge.postgres.database_file",
    "hooks[0].secret_file",
  ]);
});
