/** Host names in standard rules and in expressions: 253 characters and the dot. */
import assert from "node:assert/strict";
import { compileMessage } from "./message_schema.ts";
import { field, list, rules, withFields } from "../testing/messages.ts";

/** Rules that apply only to a field that is set. */
const GIVEN = Object.fromEntries([["ignore", "IGNORE_IF_ZERO_VALUE"]]);

const OWN = { id: "own", message: "no host", expression: "this.isHostname() || this == '*'" };
const EACH = { id: "each", expression: "this.all(one, one.isHostname())" };
const registry = withFields(
  field("host", 1, "string", rules({ string: { hostname: true }, ...GIVEN })),
  field("address", 2, "string", rules({ string: { address: true }, ...GIVEN })),
  field("pair", 3, "string", rules({ string: { hostAndPort: true }, ...GIVEN })),
  list("hosts", 4, "string", rules({ repeated: { items: { string: { hostname: true } } } })),
  field("own", 5, "string", rules({ ...GIVEN, cel: [OWN] })),
  list("each", 6, "string", rules({ cel: [EACH] })),
);
const schema = compileMessage(registry, "t.M");

function found(json: unknown): string[] {
  const text = new TextEncoder().encode(JSON.stringify(json));
  const { violations } = schema.validateJson(text, { unknown_fields: "refuse" });
  return violations.map(({ rule, path }) => `${rule} ${path}`);
}

const label = "a".repeat(63);
const LONGEST = [label, label, label, "a".repeat(61)].join(".");

Deno.test("a host has 253 characters at most, without the dot at its end", () => {
  assert.equal(LONGEST.length, 253);
  for (const host of ["a", "a.", "example.com", "EXAMPLE-1.com.", "1.a", LONGEST, `${LONGEST}.`]) {
    const single = { host, address: host, pair: `${host}:443`, own: host };
    assert.deepEqual(found({ ...single, hosts: [host], each: [host] }), [], host);
  }
  const long = [`${LONGEST}a`, `${LONGEST}a.`, `${LONGEST}..`, `${label}a`];
  const broken = ["each each", "own own", "string.hostname host", "string.hostname hosts[1]"];
  for (const host of [...long, "-a", "a-", "a..b", "1.2", ".", "a_b"]) {
    const all = { host, own: host, hosts: ["a", host], each: ["a", host] };
    assert.deepEqual(found(all).sort(), broken, host);
  }
});

Deno.test("addresses and ports are unchanged, and empty texts have their own rules", () => {
  for (const address of ["127.0.0.1", "::1", `${LONGEST}.`]) {
    assert.deepEqual(found({ address }), []);
  }
  assert.deepEqual(found({ address: "1.2.3" }), ["string.address address"]);
  for (const pair of ["127.0.0.1:1", "[::1]:65535", `${LONGEST}.:0`]) {
    assert.deepEqual(found({ pair }), []);
  }
  for (const pair of ["a", "a:", "a:01", "a:65536", `${LONGEST}.`, `${LONGEST}a.:1`, "[::1]"]) {
    assert.deepEqual(found({ pair }), ["string.host_and_port pair"], pair);
  }
  assert.deepEqual(found({ hosts: [""] }), ["string.hostname_empty hosts[0]"]);
});
