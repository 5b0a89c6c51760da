/** Ids against RFC 9562, W3C trace context and our own id rule; every clock and byte is given. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { isId } from "@arqon/proto";
import {
  connectionId,
  putTraceId,
  putUuidv7,
  randomFraction,
  randomPool,
  randomUint32,
  traceId,
  uuidv7,
} from "./ids.ts";

const random16 = fc.uint8Array({ minLength: 16, maxLength: 16 });
const time_ms = fc.integer({ min: 0, max: 2 ** 48 - 1 });

Deno.test("uuidv7 agrees with the example of RFC 9562, appendix A.6", () => {
  const random = Uint8Array.fromHex("00000000" + "0000" + "0cc3" + "18c4dc0c0c07398f");
  assert.equal(uuidv7(0x017f22e279b0, random), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
});

Deno.test("uuidv7 always has version 7, the RFC variant and its time", () => {
  fc.assert(fc.property(time_ms, random16, (now_ms, random) => {
    const id = uuidv7(now_ms, random);
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(parseInt(id.slice(0, 8) + id.slice(9, 13), 16), now_ms);
  }));
});

Deno.test("uuidv7 of a later millisecond sorts after an earlier one", () => {
  fc.assert(fc.property(time_ms, time_ms, random16, random16, (a, b, first, second) => {
    fc.pre(a < b);
    assert.ok(uuidv7(a, first) < uuidv7(b, second));
  }));
});

Deno.test("uuidv7 refuses a time outside 48 bits and too little randomness", () => {
  for (const bad of [-1, NaN, Infinity, 2 ** 48]) {
    assert.throws(() => uuidv7(bad, new Uint8Array(16)), RangeError);
  }
  assert.throws(() => uuidv7(0, new Uint8Array(15)), /expected 16 random bytes, got 15/);
});

Deno.test("a trace id is 32 lowercase hex digits and never all zero", () => {
  fc.assert(fc.property(random16, (random) => {
    assert.match(traceId(random), /^(?!0{32})[0-9a-f]{32}$/);
  }));
  assert.match(traceId(new Uint8Array(16)), /^0{31}1$/);
});

Deno.test("ids as bytes are the same ids, and later bytes are unchanged", () => {
  fc.assert(fc.property(time_ms, random16, (now_ms, random) => {
    const out = new Uint8Array(40).fill(0x2a);
    putUuidv7(out, now_ms, random);
    assert.equal(new TextDecoder().decode(out), `${uuidv7(now_ms, random)}****`);
    putTraceId(out, random);
    assert.equal(new TextDecoder().decode(out.subarray(0, 32)), traceId(random));
  }));
});

Deno.test("a connection id is a valid id and keeps all 128 random bits", () => {
  fc.assert(fc.property(random16, random16, (first, second) => {
    const a = connectionId(first);
    const b = connectionId(second);
    assert.ok(isId(a));
    assert.equal(a.length, 23);
    assert.equal(a === b, first.every((byte, index) => byte === second[index]));
  }));
});

Deno.test("a random pool returns every byte once and is refilled when it is empty", () => {
  let next = 0;
  let fills = 0;
  const random = randomPool((bytes) => {
    fills++;
    for (let index = 0; index < bytes.length; index++) bytes[index] = next++;
  }, 32);
  assert.deepEqual([...random(16)], Array.from({ length: 16 }, (_, index) => index));
  assert.deepEqual([...random(16)], Array.from({ length: 16 }, (_, index) => 16 + index));
  assert.equal(fills, 1);
  assert.equal(random(1)[0], 32);
  assert.equal(random(31)[0], 33);
  assert.equal(random(2)[0], 64);
  assert.equal(fills, 3);
  assert.throws(() => random(33), /33 random bytes asked of a pool of 32/);
});

Deno.test("100,000 ids of one millisecond from the pool are all different", () => {
  const random = randomPool((bytes) => crypto.getRandomValues(bytes));
  const ids = new Set(Array.from({ length: 100_000 }, () => uuidv7(1_700_000_000_000, random)));
  assert.equal(ids.size, 100_000);
});

Deno.test("numbers have all 32 bits, and a fraction never reaches 1", () => {
  const pool = new Uint8Array([9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 9]);
  const views = [pool.subarray(1, 5), pool.subarray(5, 9)];
  assert.equal(randomUint32(() => views[0]!), 2 ** 32 - 1);
  assert.equal(randomUint32(() => views[1]!), 1);
  assert.equal(randomFraction(() => views[0]!), 1 - 2 ** -32);
  assert.equal(randomFraction(() => new Uint8Array(4)), 0);
});
