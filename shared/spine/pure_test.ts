/** Properties of the pure parts: keys, checks, versions, addresses, delays. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { refusedWith } from "./testing/conformance.ts";
import { assertPattern, assertSize, assertSubject, headerBytes } from "./contract/check.ts";
import { ENCODED_KEYS, isBelow } from "./contract/kv_key.ts";
import { parseAddresses } from "./nats/connection/nats_connect.ts";
import {
  isSupportedNats,
  reconnectDelay_ms,
  ReconnectPauses,
} from "./nats/connection/nats_link.ts";
import { parsePosition } from "./nats/stores/nats_kv.ts";
import { isNewEnough } from "../../tasks/nats_server.ts";

const keyToken = fc.string({ minLength: 1, maxLength: 12, unit: "grapheme" });
const key = fc.array(keyToken, { minLength: 1, maxLength: 4 });

Deno.test("every key is restored from its stored form, which is one valid subject", () => {
  fc.assert(fc.property(key, (one) => {
    const stored = ENCODED_KEYS.encode(one);
    assert.deepEqual(ENCODED_KEYS.decode(stored), one);
    assertSubject(`$KV.B.${stored}`);
  }));
});

Deno.test("a stored key is below a stored prefix exactly when its tokens begin with it", () => {
  fc.assert(fc.property(key, key, fc.nat(4), (one, other, length) => {
    for (const prefix of [one.slice(0, length), other]) {
      const begins = prefix.length <= one.length && prefix.every((part, at) => part === one[at]);
      assert.equal(isBelow(ENCODED_KEYS.encode(one), ENCODED_KEYS.prefix(prefix)), begins);
    }
  }));
});

Deno.test("bytes that no key is stored as are not read as a key", () => {
  for (const stored of ["", ".", "YQ.", "YQ==", "a", "Y Q", "/w", "_w", "YR", "YQ..YQ"]) {
    assert.equal(ENCODED_KEYS.decode(stored), undefined, stored);
  }
});

Deno.test("a subject or pattern of any text passes or is a TypeError, in linear time", () => {
  fc.assert(fc.property(fc.string({ unit: "binary-ascii", maxLength: 60 }), (one) => {
    for (const check of [assertSubject, assertPattern]) {
      try {
        check(one);
        assert.match(one, /^[A-Za-z0-9_~:=$.*>-]+$/);
      } catch (error) {
        assert.ok(error instanceof TypeError);
      }
    }
  }));
  assert.throws(() => assertSubject("a.".repeat(500) + "!"), TypeError);
  assert.throws(() => headerBytes({ a: `${" ".repeat(100_000)}\n` }), TypeError);
});

Deno.test("header bytes are those of NATS' wire format", () => {
  assert.equal(headerBytes(undefined), 0);
  assert.equal(headerBytes({}), 0);
  assert.equal(headerBytes({ a: "é" }), "NATS/1.0\r\na: e\u0301\r\n\r\n".length);
  assertSize(10, 10);
  assert.throws(() => assertSize(11, 10), refusedWith("message-too-large"));
});

Deno.test("servers before 2.11 are not supported", () => {
  for (const version of ["2.11.0", "2.11.0-RC.1", "2.15.2", "v2.12.3", "3.0.0", "10.0.1"]) {
    assert.equal(isSupportedNats(version), true, version);
  }
  for (const version of ["2.10.29", "2.9.99", "1.99.99", "", "unknown", "2.11", "x2.15.2"]) {
    assert.equal(isSupportedNats(version), false, version);
  }
  assert.equal(isNewEnough("nats-server: v2.15.2"), true);
  assert.equal(isNewEnough("nats-server: v2.11.0-RC.1"), true);
  assert.equal(isNewEnough("nats-server: v2.10.29"), false);
  assert.equal(isNewEnough("bash: nats-server: not found"), false);
});

Deno.test("addresses are separated from credentials, which are never shown", () => {
  assert.deepEqual(parseAddresses(["nats://a", "nats://b:4223"]), {
    servers: ["a:4222", "b:4223"],
    tls: false,
  });
  assert.deepEqual(parseAddresses(["tls://u%40x:p%20w@a:1", "nats://b"]), {
    servers: ["a:1", "b:4222"],
    tls: true,
    user: "u@x",
    pass: "p w",
  });
  assert.deepEqual(parseAddresses(["nats://secret@[::1]:5"]), {
    servers: ["[::1]:5"],
    tls: false,
    token: "secret",
  });
});

Deno.test("pauses between reconnects grow to five seconds and differ by chance", () => {
  assert.equal(reconnectDelay_ms(0, () => 0), 50);
  assert.equal(reconnectDelay_ms(0, () => 0.5), 75);
  assert.equal(reconnectDelay_ms(3, () => 0), 400);
  for (const attempt of [6, 20, 1_000_000]) {
    assert.equal(reconnectDelay_ms(attempt, () => 0), 2_500);
    assert.ok(reconnectDelay_ms(attempt, () => 0.999) <= 5_000);
  }
});

Deno.test("an immediate disconnect does not restart the short pauses", () => {
  let now_ms = 0;
  const pauses = new ReconnectPauses(() => now_ms, () => 0);
  const flap = (up_ms: number) => {
    pauses.receive("connected");
    now_ms += up_ms;
    pauses.receive("disconnected");
    pauses.tried();
    return pauses.now_ms;
  };
  assert.deepEqual([1, 1, 1, 1, 1, 1, 1].map(flap), [100, 200, 400, 800, 1_600, 2_500, 2_500]);
  assert.equal(flap(4_999), 2_500);
  assert.equal(flap(5_000), 100, "it was let in");
});

Deno.test("a delivery's position is read in its short and its long form", () => {
  const expected = { stream_sequence: 7, consumer_sequence: 3, pending: 12 };
  assert.deepEqual(parsePosition("$JS.ACK.KV_A.c.1.7.3.1700000000.12"), expected);
  assert.deepEqual(parsePosition("$JS.ACK.hub.acc.KV_A.c.1.7.3.1700000000.12"), expected);
  assert.deepEqual(parsePosition("$JS.ACK._.acc.KV_A.c.1.7.3.1700000000.12.x"), expected);
  for (const reply of [undefined, "", "_INBOX.1", "$JS.ACK.a.b", "$JS.ACK.a.b.1.x.3.4.5"]) {
    assert.equal(parsePosition(reply), undefined);
  }
});

/** A value that NATS carries unchanged: no control characters, no white space at its ends. */
function isCarried(value: string): boolean {
  return value.isWellFormed() && !/\p{Cc}/u.test(value) && !/^\s|\s$/.test(value);
}

Deno.test("a header is accepted if NATS carries it, and counts with its size in bytes", () => {
  const unit = fc.oneof(
    fc.constantFrom(" ", "~", "!", "\x7f", "\t", "\r", "\n", "\0", "é", "日", "\u00a0", "\ud800"),
    fc.string({ minLength: 1, maxLength: 1 }),
  );
  const text = fc.array(unit, { maxLength: 6 }).map((units) => units.join(""));
  fc.assert(
    fc.property(text, (value) => {
      if (!isCarried(value)) return assert.throws(() => headerBytes({ name: value }), TypeError);
      const line = new TextEncoder().encode(`name: ${value}\r\n`);
      assert.equal(headerBytes({ name: value }), line.length + 12);
    }),
    { numRuns: 2_000 },
  );
});

Deno.test("an invalid name or subject is refused each time, next to valid ones", () => {
  for (let times = 0; times < 3; times++) {
    assert.equal(headerBytes({ "x-order": "1" }), 7 + 1 + 4 + 12);
    assertSubject("in.t.acme.r.hall");
    for (const name of ["", "a b", "a:b", "é"]) {
      assert.throws(() => headerBytes({ [name]: "1" }), TypeError);
    }
    for (const subject of ["", "in.*", "in..r", "in.>", "a b", "a.".repeat(600) + "a"]) {
      assert.throws(() => assertSubject(subject), TypeError);
    }
  }
});
