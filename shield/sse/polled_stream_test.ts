/** Polls that do not come: the stream of a client that has gone ends. */
import assert from "node:assert/strict";
import { PolledStream } from "./polled_stream.ts";

const PATIENCE_MS = 1;
const WITHIN_MS = 60_000;

function opened() {
  const stream = new PolledStream(PATIENCE_MS);
  const ended = Promise.withResolvers<void>();
  stream.flow({ arrived: () => {}, written: () => {}, ended: ended.resolve });
  stream.send(new Uint8Array([1]));
  return { stream, ended: ended.promise };
}

Deno.test("a client that opens a stream and never polls counts as gone", async () => {
  const { stream, ended } = opened();
  assert.deepEqual([...await stream.take(0, WITHIN_MS)], [1]);
  await ended;
  stream.close();
});

Deno.test("a stream waits for a client that leaves during a poll, but not after a repeated poll", async () => {
  const { stream, ended } = opened();
  await stream.take(0, WITHIN_MS);
  const first = new AbortController();
  const repeated = new AbortController();
  void stream.take(1, WITHIN_MS, first.signal);
  const answer = stream.take(1, WITHIN_MS, repeated.signal);
  let is_ended = false;
  void ended.then(() => is_ended = true);
  first.abort();
  await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  assert.equal(is_ended, false, "the client has polled again");
  repeated.abort();
  await ended;
  stream.close();
  await answer;
});

Deno.test("a stream whose client has gone from another Shield ends, unless it polls again", async () => {
  const { stream, ended } = opened();
  await stream.take(0, WITHIN_MS);
  const answer = stream.take(1, WITHIN_MS);
  stream.missed(0);
  let is_ended = false;
  void ended.then(() => is_ended = true);
  await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
  assert.equal(is_ended, false, "that was an earlier poll");
  stream.missed(1);
  await ended;
  stream.close();
  await answer;
});

Deno.test("a poll with a wrong number is refused and keeps no stream open whose client has gone", async () => {
  const { stream, ended } = opened();
  await stream.take(0, WITHIN_MS);
  const client = new AbortController();
  const answer = stream.take(1, WITHIN_MS, client.signal);
  await assert.rejects(stream.take(7, WITHIN_MS), /poll 7; expected 2/);
  client.abort();
  await ended;
  stream.close();
  await answer;
});
