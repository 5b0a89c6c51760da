/** The address of a request through proxies, by examples and for arbitrary headers of a client. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { networksOf } from "../config/schema_server.ts";
import { clientBehind, type ForwardedHeader } from "./forwarded.ts";

const isTrusted = networksOf(["10.0.0.0/8", "fd00::/8"]);

function clientOf(peer: string, header: ForwardedHeader, ...values: string[]): string {
  const address = { transport: "tcp", hostname: peer, port: 1 } as const;
  const valuesOf = (name: string) => name === header ? values : ["203.0.113.99"];
  return clientBehind(isTrusted, header)(address, valuesOf).hostname;
}

Deno.test("the last address that no trusted proxy has is the client's", () => {
  const x = (...values: string[]) => clientOf("10.0.0.1", "x-forwarded-for", ...values);
  assert.equal(x("203.0.113.5"), "203.0.113.5");
  assert.equal(x("1.1.1.1, 203.0.113.5"), "203.0.113.5", "who is left of it may be a lie");
  assert.equal(x("1.1.1.1, 203.0.113.5, 10.2.2.2"), "203.0.113.5", "two proxies");
  assert.equal(x("1.1.1.1", "203.0.113.5 ,10.2.2.2"), "203.0.113.5", "two headers are one list");
  assert.equal(x("10.3.3.3, 10.2.2.2"), "10.3.3.3", "all are trusted: the first");
  assert.equal(x("203.0.113.5:4711"), "203.0.113.5");
  assert.equal(x("[2001:DB8::5]:4711"), "2001:db8::5");
  assert.equal(x("2001:db8::5"), "2001:db8::5");
  assert.equal(x("::ffff:203.0.113.5"), "203.0.113.5");
  assert.equal(x("0:0:0:0:0:ffff:cb00:7105"), "203.0.113.5");
  assert.equal(x("2001:0db8:0:0:0:0:0:5"), "2001:db8::5", "as a peer's own address");
  assert.equal(
    x("203.0.113.5, unknown"),
    "10.0.0.1",
    "what is no address hides what is left of it",
  );
  assert.equal(x("203.0.113.5, unknown, 10.2.2.2"), "10.2.2.2");
  assert.equal(x(), "10.0.0.1");
  assert.equal(x(""), "10.0.0.1");
});

Deno.test("Forwarded is read as RFC 7239 writes it", () => {
  const f = (...values: string[]) => clientOf("10.0.0.1", "forwarded", ...values);
  assert.equal(f("for=203.0.113.5"), "203.0.113.5");
  assert.equal(f('For="[2001:db8:cafe::17]:4711"'), "2001:db8:cafe::17");
  assert.equal(f("for=1.1.1.1, for=203.0.113.5;proto=https;by=10.0.0.1"), "203.0.113.5");
  assert.equal(f("for=203.0.113.5;by=10.0.0.9, for=10.2.2.2"), "203.0.113.5");
  assert.equal(f("for=_hidden"), "10.0.0.1");
  assert.equal(f("proto=https"), "10.0.0.1");
  assert.equal(f("for=203.0.113.5;for=203.0.113.6"), "10.0.0.1", "two are none");
});

Deno.test("an untrusted peer is its own client, whatever it writes", () => {
  fc.assert(fc.property(fc.array(fc.string()), (values) => {
    assert.equal(clientOf("203.0.113.1", "x-forwarded-for", ...values), "203.0.113.1");
    assert.equal(clientOf("203.0.113.1", "forwarded", ...values), "203.0.113.1");
  }));
});

Deno.test("the entry of a trusted proxy counts, whatever a stranger puts before it", () => {
  fc.assert(fc.property(fc.array(fc.string()), fc.ipV4(), (lies, seen) => {
    fc.pre(!isTrusted(seen));
    assert.equal(clientOf("10.0.0.1", "x-forwarded-for", ...lies, seen), seen);
    const element = `for=${seen}`;
    assert.equal(clientOf("10.0.0.1", "forwarded", ...lies, element), seen);
  }));
});
