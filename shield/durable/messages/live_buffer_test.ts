/** Messages that wait for older ones: limited, by stream, taken in order. */
import assert from "node:assert/strict";
import { LiveBuffer, type LiveMessage, readLive } from "./timeline.ts";

const live = (offset: number, stream = "s1", bytes = 1): LiveMessage => ({
  stream,
  offset,
  previous: offset - 1,
  time_ms: 0,
  origin: "",
  envelope: new Uint8Array(bytes),
});
const offsets = (messages: readonly LiveMessage[]) => messages.map(({ offset }) => offset);

Deno.test("messages are taken by stream, in the order of their offsets", () => {
  const buffer = new LiveBuffer({ messages: 10, bytes: 100 });
  for (const [offset, stream] of [[3, "s1"], [1, "s2"], [2, "s1"]] as const) {
    assert.equal(buffer.add(live(offset, stream)), "kept");
  }
  assert.deepEqual([...buffer.streams()].sort(), ["s1", "s2"]);
  assert.equal(buffer.first("s1")?.offset, 2);
  assert.equal(buffer.first("s3"), undefined);
  assert.deepEqual(offsets(buffer.take("s1")), [2, 3]);
  assert.equal(buffer.size, 1);
});

Deno.test("messages that do not fit are forgotten, except for their highest offset", () => {
  const buffer = new LiveBuffer({ messages: 2, bytes: 100 });
  assert.deepEqual([1, 2, 9, 5].map((offset) => buffer.add(live(offset))), [
    ...["kept", "kept", "buffer-full", "buffer-full"],
  ]);
  assert.deepEqual([buffer.forgotten("s1"), buffer.forgotten("s2")], [9, 0]);
  buffer.take("s1");
  assert.equal(buffer.add(live(10, "s1", 101)), "buffer-full");
  assert.equal(buffer.add(live(10, "s1", 100)), "kept");
  assert.equal(buffer.add(live(11)), "buffer-full");
  buffer.forget("s1");
  assert.deepEqual([buffer.size, buffer.forgotten("s1")], [0, 0]);
});

Deno.test("messages of a former stream are dropped, unless it is current again", () => {
  const buffer = new LiveBuffer({ messages: 10, bytes: 100 });
  buffer.add(live(1, "s1"));
  buffer.add(live(1, "s2"));
  assert.equal(buffer.retire(new Set(["s1", "s2", ""]), "s2"), 1);
  assert.equal(buffer.add(live(2, "s1")), "old-stream");
  assert.equal(buffer.add(live(2, "s2")), "kept");
  assert.equal(buffer.retire(new Set(["s2"]), "s1"), 2);
  assert.equal(buffer.add(live(3, "s1")), "kept");
  buffer.clear();
  assert.equal(buffer.size, 0);
});

Deno.test("a message without a log's headers is not a log message", () => {
  const headers = {
    "Nats-Stream": "LOG_acme_1",
    "Nats-Sequence": "12",
    "Nats-Last-Sequence": "7",
    "Nats-Time-Stamp": "2026-01-02T03:04:05.123456789Z",
  };
  const read = (changed: Record<string, string>) =>
    readLive({
      subject: "in.t.acme.r.room",
      payload: new Uint8Array(1),
      headers: { ...headers, ...changed },
      respond() {},
    }, { lifeOf: (stream, offset) => offset < 12 ? stream : `${stream}~2` });
  const message = read({ "x-arqon-origin": "c1" });
  assert.deepEqual([message?.offset, message?.previous, message?.origin], [12, 7, "c1"]);
  assert.equal(message?.stream, "LOG_acme_1~2", "the life of its log");
  assert.equal(message?.time_ms, Date.UTC(2026, 0, 2, 3, 4, 5, 123));
  for (
    const changed of [
      { "Nats-Stream": "" },
      { "Nats-Sequence": "x" },
      { "Nats-Sequence": "-1" },
      { "Nats-Sequence": "9007199254740993" },
      { "Nats-Last-Sequence": "12" },
      { "Nats-Last-Sequence": "1.5" },
      { "Nats-Time-Stamp": "yesterday" },
    ]
  ) assert.equal(read(changed), undefined, JSON.stringify(changed));
});
