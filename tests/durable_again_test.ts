/**
 * A SUB with a position during the recovery of the previous one: its ACK precedes all of its messages. A client that
 * counts messages from the ACK on would otherwise miss some.
 */
import assert from "node:assert/strict";
import { startBusWith } from "./harness/bus.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[limits]
messages_per_second = 100_000

${durableRooms("log-*")}
`;
const ROOM = "log-again";
/** 6 MB, which no socket accepts at once. */
const MESSAGES = 300;
const TEXT = "x".repeat(20_000);
const ROUNDS = 5;

Deno.test("a SUB in the middle of a recovery gets the messages after its position after its ACK", async () => {
  await using bus = await startBusWith(CONFIG);
  using publisher = await DurableClient.open(bus.url, bus.token);
  const texts = numbers(0, MESSAGES).map((number) => `${number} ${TEXT}`);
  const offsets = await publisher.fill(ROOM, texts);
  const last = offsets.at(-1);
  for (const presence of [false, true]) {
    using client = await DurableClient.open(bus.url, bus.token);
    const { epoch } = await client.join(ROOM);
    const sub = { op: "sub", room: ROOM, epoch, presence };
    for (let round = 0; round < ROUNDS; round++) {
      client.send({ ...sub, after_offset: 0 });
      for (let count = 0; count < 10 + round;) if ((await offset(client)) > 0) count++;
      const id = client.send({ ...sub, after_offset: offsets[4] });
      for (let acked = false; !acked;) acked = (await client.raw.json()).id === id;
      const received: number[] = [];
      while (received.at(-1) !== last) {
        const next = await offset(client);
        if (next > 0) received.push(next);
      }
      assert.deepEqual(received, offsets.slice(5), `round ${round}`);
    }
  }
});

/** The offset of the next frame; 0: it is no stored message. */
async function offset({ raw }: DurableClient): Promise<number> {
  const { op, offset } = await raw.json();
  return op === "msg" ? offset ?? 0 : 0;
}
