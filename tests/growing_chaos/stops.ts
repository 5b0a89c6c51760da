/** How long it takes from a stop on one device, at one Shield, until the producer at another has ended its source. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { growing, stopStream, stream } from "@arqon/sdk/streams";
import { PLAIN } from "./sources.ts";
import type { World } from "./world.ts";

/** A source that goes on until it is ended, and when that was, by `performance.now()`. */
function endless(word_ms: number) {
  let ended_ms: number | undefined;
  let sleeping: ReturnType<typeof setTimeout> | undefined;
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise<IteratorResult<string>>((resolve) => {
          sleeping = setTimeout(() => resolve({ done: false, value: "word " }), word_ms);
        }),
      return() {
        ended_ms = performance.now();
        clearTimeout(sleeping);
        return Promise.resolve({ done: true as const, value: undefined });
      },
    }),
  };
  return { source, endedMs: () => ended_ms };
}

/** Stops so many messages, one after the other; resolves with the times in ms, the shortest first. */
export async function stopMany(world: World, count: number): Promise<number[]> {
  const [here = "", there = ""] = world.urls;
  await using producer = await connect({ url: here, token: await world.tokenFor("model") });
  await using reader = await connect({ url: there, token: await world.tokenFor("reader") });
  const room = `${PLAIN}-stops`;
  const reading = new AbortController();
  const heard = growing(reader.room(room), { signal: reading.signal });
  const times: number[] = [];
  let next = heard.next();
  for (let at = 0; at < count; at++) {
    const id = `stop-${at}`;
    const { source, endedMs } = endless(20);
    const ending = stream(producer.room(room), source, { id });
    for (;;) {
      const { value } = await next;
      next = heard.next();
      if (value?.id === id && value.text.length > 10) break;
    }
    const began_ms = performance.now();
    await stopStream(reader.room(room), id);
    assert.equal((await ending).outcome, "stopped");
    times.push(endedMs()! - began_ms);
  }
  next.catch(() => {});
  reading.abort();
  return times.sort((one, other) => one - other);
}
