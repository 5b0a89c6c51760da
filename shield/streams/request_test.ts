/** Requests for streams: headers and query, refusals, and cursors. */
import assert from "node:assert/strict";
import { nextCursor } from "./read_routes.ts";
import { StreamRefusal } from "./answers.ts";
import { readAppend, readCreate, readRead } from "./request.ts";

const TOKEN = `${"0".repeat(15)}7_${"0".repeat(15)}1`;
const refused = (run: () => unknown) =>
  assert.throws(run, (error) => error instanceof StreamRefusal && error.code === 400);

Deno.test("requests: a fork names its source by the last part of a path", () => {
  const headers = { "stream-forked-from": "/any/prefix/room-1?x=1", "stream-fork-offset": TOKEN };
  const { fork } = readCreate(new Headers({ ...headers, "stream-fork-sub-offset": "3" }));
  assert.deepEqual(fork, { room: "room-1", offset: TOKEN, sub: 3 });
  const escaped = new Headers({ "stream-forked-from": "/a/b%3Ac%7e" });
  assert.equal(readCreate(escaped).fork?.room, "b:c~", "escaped as in the path of a request");
  assert.equal(readCreate(new Headers()).fork, undefined);
  refused(() => readCreate(new Headers({ "stream-forked-from": "/a/b.c" })));
  refused(() => readCreate(new Headers({ "stream-forked-from": "/a/", "stream-ttl": "1" })));
  refused(() => readCreate(new Headers({ "stream-fork-sub-offset": "1" })));
  refused(() => readCreate(new Headers({ "stream-forked-from": "/a", "stream-fork-offset": "7" })));
});

Deno.test("requests: an expiry is whole seconds or a date, not both", () => {
  assert.equal(readCreate(new Headers({ "stream-ttl": "0" })).ttl_seconds, 0);
  for (const ttl of ["", "01", "+1", "1.5", "1e3", "-1", "9".repeat(20)]) {
    refused(() => readCreate(new Headers({ "stream-ttl": ttl })));
  }
  for (
    const time of ["soon", "2030-01-01", "2030-02-30T00:00:00Z", "2030-01-01T00:00:00", "2030 Z"]
  ) refused(() => readCreate(new Headers({ "stream-expires-at": time })));
  for (const time of ["2030-01-01T00:00:00Z", "2028-02-29t01:02:03.456+01:00"]) {
    assert.equal(readCreate(new Headers({ "stream-expires-at": time })).expires_at, time);
  }
  const both = { "stream-ttl": "1", "stream-expires-at": "2030-01-01T00:00:00Z" };
  refused(() => readCreate(new Headers(both)));
});

Deno.test("requests: a producer has all three headers or none", () => {
  const all = { "producer-id": "p", "producer-epoch": "0", "producer-seq": "1" };
  assert.deepEqual(readAppend(new Headers(all)).producer, { id: "p", epoch: 0, seq: 1 });
  for (const name of Object.keys(all)) {
    refused(() => readAppend(new Headers(Object.entries(all).filter(([key]) => key !== name))));
  }
  refused(() => readAppend(new Headers({ ...all, "producer-id": "" })));
  refused(() => readAppend(new Headers({ ...all, "producer-seq": "1x" })));
  refused(() => readAppend(new Headers({ ...all, "producer-epoch": String(2 ** 53) })));
});

Deno.test("requests: only `true` closes", () => {
  const close = (value: string) => readAppend(new Headers({ "stream-closed": value })).close;
  assert.deepEqual(["true", "TRUE", "1", "yes", ""].map(close), [true, true, false, false, false]);
});

Deno.test("requests: a read has one offset, and a live read needs one", () => {
  const read = (query: string) => readRead(new URLSearchParams(query));
  assert.deepEqual(read(""), { offset: "-1", live: undefined, cursor: undefined });
  assert.equal(read(`offset=${TOKEN}&live=sse&cursor=5`).cursor, "5");
  for (
    const query of ["offset=", "offset=1", "offset=-1&offset=-1", "live=sse", "offset=-1&live=x"]
  ) {
    refused(() => read(query));
  }
});

Deno.test("cursors: they grow with time and never go back", () => {
  const now_ms = Date.UTC(2024, 9, 9) + 20_000 * 50;
  assert.equal(nextCursor(undefined, now_ms, 0.5), "50");
  assert.equal(nextCursor("49", now_ms, 0.5), "50");
  assert.equal(nextCursor("x", now_ms, 0.5), "50");
  for (const random of [0, 0.5, 0.999]) {
    assert.ok(Number(nextCursor("50", now_ms, random)) > 50);
    assert.ok(Number(nextCursor("900", now_ms, random)) > 900);
  }
});
