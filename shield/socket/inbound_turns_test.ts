/** The share of a turn, where rests and pings come between: counted by the number of the turn. */
import assert from "node:assert/strict";
import { TURN_FRAMES, Turns } from "../../shared/turns/turns.ts";
import { InboundTurns } from "./inbound_turns.ts";

const MESSAGES = 2_000;

/** Gives it all messages at once; how many it handed out in a turn, at most. */
async function mostOf(onDeliver: (inbound: InboundTurns, count: number) => void): Promise<number> {
  const turns = new Turns();
  const of_turn = new Map<number, number>();
  const all = Promise.withResolvers<void>();
  const order: string[] = [];
  const inbound: InboundTurns = new InboundTurns(turns, {
    deliver(message) {
      const turn = turns.enter();
      of_turn.set(turn, (of_turn.get(turn) ?? 0) + 1);
      order.push(`${message}`);
      onDeliver(inbound, order.length);
      if (order.length === MESSAGES) all.resolve();
    },
    hold() {},
  });
  const texts = Array.from({ length: MESSAGES }, (_, at) => String(at));
  for (const text of texts) inbound.take(text);
  await all.promise;
  assert.deepEqual(order, texts);
  return Math.max(...of_turn.values());
}

/** Until a timer of 1 ms is due when the loop looks at timers next. */
function letTimersBeDue(): void {
  const until_ms = performance.now() + 3;
  while (performance.now() < until_ms);
}

Deno.test("who rests within a turn has no second share of it", async () => {
  const most = await mostOf((inbound, count) => {
    // In its second turn and later ones, where timers are looked at before the turn ends.
    if (count <= TURN_FRAMES || count % 100 !== 0) return;
    inbound.rest(1);
    letTimersBeDue();
  });
  assert(most <= TURN_FRAMES, `${most} in a turn`);
});

Deno.test("who pings while it waits for its turn does not wait twice", async () => {
  const most = await mostOf((inbound, count) => {
    if (count !== 2 * TURN_FRAMES) return;
    // They come after what has had its place in this turn.
    queueMicrotask(() => {
      for (let pings = 0; pings < 10; pings++) assert(!inbound.takeControl());
      letTimersBeDue();
    });
  });
  assert(most <= TURN_FRAMES, `${most} in a turn`);
});

Deno.test("who is sent to rest while it waits for its turn rests", async () => {
  const [began_ms, rest_ms] = [performance.now(), 50];
  let rested_ms = 0;
  await mostOf((inbound, count) => {
    if (count === TURN_FRAMES) queueMicrotask(() => inbound.rest(rest_ms));
    else if (count === TURN_FRAMES + 1) rested_ms = performance.now() - began_ms;
  });
  assert(rested_ms >= rest_ms - 1, `${rested_ms} ms`);
});
