/** Tests of subscription tokens when the wall clock is set. */
import assert from "node:assert/strict";
import { ChannelTokens } from "./channel_tokens.ts";

Deno.test("a subscription token expires on time if the clock is set forward", () => {
  const timers: { run: () => void; wait_ms: number }[] = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = ((run: () => void, wait_ms: number) => {
    timers.push({ run, wait_ms });
    return 0;
  }) as unknown as typeof setTimeout;
  try {
    let now = 0;
    const ended: string[] = [];
    const tokens = new ChannelTokens({
      verify: () => Promise.reject(new Error("no token")),
      connection: () => undefined,
      onEnd: (room_id) => void ended.push(room_id),
      now: () => now,
      untilOf: (expire_at) => expire_at * 1_000,
    });
    tokens.hold("news", 3_600_000, undefined);
    now = 3_600_000;
    const [first] = timers;
    assert.ok(first!.wait_ms <= 10_000, `${first!.wait_ms}`);
    first!.run();
    assert.deepEqual(ended, ["news"]);
  } finally {
    globalThis.setTimeout = setTimeout;
  }
});
