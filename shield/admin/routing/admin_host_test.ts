/** Which host names the admin listener accepts, and which it refuses. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { requireOwnName } from "./admin_safety.ts";

const { admin: BY_DEFAULT } = configFrom({});
const { admin: NAMED } = configFrom({
  admin: { host: "Admin-1.internal", allowed_hosts: ["bus.example.com", "Console.Example.com"] },
});

const of = (host: string) => new Request("http://127.0.0.1:4002/v1/status", { headers: { host } });

function reason(host: string, names = BY_DEFAULT): string {
  try {
    requireOwnName(of(host), names);
    return "";
  } catch (error) {
    assert.ok(error instanceof ArqonError && error.code === 403, String(error));
    assert.doesNotMatch(error.message, /\p{C}/u);
    return error.reason;
  }
}

Deno.test("loopback, addresses and the configured names are its own, with any port", () => {
  const loopback = "localhost LOCALHOST:4002 localhost. console.localhost:80 [::1]:4002";
  const addresses = "127.0.0.1 127.0.0.1:4002 127.1 [::ffff:127.0.0.1] 10.1.2.3:4002 [2001:db8::1]";
  for (const host of `${loopback} ${addresses}`.split(" ")) assert.equal(reason(host), "", host);
  const bus = "bus.example.com BUS.example.com:8443 bus.example.com.";
  for (const host of `${bus} console.example.com admin-1.internal:4002`.split(" ")) {
    assert.equal(reason(host, NAMED), "", host);
  }
});

Deno.test("every other name is refused", () => {
  const names =
    "evil.example|evil.example:4002|bus.example.com|localhost.evil.example|evillocalhost";
  const hidden = "127.0.0.1.evil.example|127.0.0.1.nip.io|localhost@evil.example";
  const parts = ["#", "/", "?", "\\"].map((sign) => `evil.example${sign}localhost`);
  const broken = "localhost evil.example|localhost, evil.example|localhost:4002:4002|[::1|*|";
  for (const host of [...`${names}|${hidden}|${broken}`.split("|"), ...parts]) {
    assert.equal(reason(host), "host-not-allowed", host);
  }
  const others = "sub.bus.example.com xbus.example.com example.com 127.0.0.1.internal";
  for (const host of others.split(" ")) assert.equal(reason(host, NAMED), "host-not-allowed", host);
});

Deno.test("a request without the header is checked by its URL", () => {
  requireOwnName(new Request("http://127.0.0.1:4002/"), BY_DEFAULT);
  assert.throws(() => requireOwnName(new Request("http://evil.example/"), BY_DEFAULT), ArqonError);
});

Deno.test("a name in the configuration has no scheme, port or wildcard", () => {
  const problem = /admin\.allowed_hosts\[0\]: .*expected a name such as/;
  const wrong = ["https://a.example", "a.example:443", "*", "*.example.com", "", "a b", "a..b"];
  for (const name of wrong) {
    assert.throws(() => configFrom({ admin: { allowed_hosts: [name] } }), problem, name);
  }
});
