// The SDK with deltas on a real bus: what a loop gets is what was published, in fewer bytes, also after a
// message was lost on the way. What a Shield sends to whom is tested with the Shield.
import assert from "node:assert/strict";
import { Opcode } from "@arqon/proto";
import { startLocalBus } from "../../../tests/harness/local_bus.ts";
import { deltaSocket } from "../delta.ts";
import { connect, type WebSocketConstructor } from "../mod.ts";

const CONFIG = `
[server]
host = "127.0.0.1"
[ops]
host = "127.0.0.1"
[[rooms]]
room = "folded*"
delta = "fossil"
`;

const LINES = Array.from({ length: 100 }, (_, n) => `line ${n} of what does not change`);
const dataOf = (n: number) => ({ n, lines: LINES });

/** The platform's WebSocket, the bytes of its messages, and a message that it loses. */
function countedSocket() {
  const counted = { bytes: 0, messages: 0, lost: 0 };
  class Counted extends WebSocket {
    override set onmessage(hear: ((event: MessageEvent) => void) | null) {
      super.onmessage = hear === null ? null : (event) => {
        const data = new Uint8Array(event.data as ArrayBuffer);
        if (data[0] === Opcode.MSG || data[0] === Opcode.BATCH) {
          counted.bytes += data.length;
          if (++counted.messages === counted.lost) return;
        }
        hear.call(this, event);
      };
    }
  }
  return { counted, webSocket: Counted as unknown as WebSocketConstructor };
}

Deno.test("a loop gets what was published in fewer bytes, and a message that is lost makes none wrong", async () => {
  await using bus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ user: "ann" });
  const { counted, webSocket } = countedSocket();
  await using ann = await connect({ url: bus.url, token, webSocket: deltaSocket(webSocket) });
  await using bob = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  using loop = ann.room("folded").subscribe();
  await loop.ready;
  const next = async () => {
    const { value } = await loop.next();
    return value?.signal?.reason ?? value?.json();
  };
  const publish = (n: number) => bob.room("folded").publish("n", dataOf(n));
  for (let n = 0; n < 20; n++) {
    await publish(n);
    assert.deepEqual(await next(), dataOf(n));
  }
  const whole = JSON.stringify(dataOf(0)).length;
  assert.ok(counted.bytes < 2 * whole + 20 * 400, `${counted.bytes} bytes for 20 of ${whole}`);
  counted.lost = counted.messages + 1;
  await publish(20);
  await publish(21);
  assert.equal(await next(), "delta");
  // The SUB that asks for whole messages was sent before the loop got the gap.
  await ann.room("other").publish("after", 1);
  await publish(22);
  assert.deepEqual(await next(), dataOf(22));
});

Deno.test("a loop over a pattern gets diffs of each room, and after a loss of one room only that has a gap", async () => {
  await using bus = await startLocalBus(CONFIG);
  const { counted, webSocket } = countedSocket();
  const token = await bus.tokenFor({ user: "ann" });
  await using ann = await connect({ url: bus.url, token, webSocket: deltaSocket(webSocket) });
  await using bob = await connect({ url: bus.url, token: await bus.tokenFor({ user: "bob" }) });
  using loop = ann.room("folded-*").subscribe();
  await loop.ready;
  const next = async () => {
    const { value } = await loop.next();
    return [value?.room, value?.signal?.reason ?? (value?.json() as { n: number } | undefined)?.n];
  };
  const rooms = ["folded-1", "folded-2", "folded-3"];
  for (let n = 0; n < 12; n++) {
    const room = rooms[n % 3]!;
    await bob.room(room).publish("n", dataOf(n));
    assert.deepEqual(await next(), [room, n]);
  }
  const whole = JSON.stringify(dataOf(0)).length;
  assert.ok(counted.bytes < 4 * whole + 12 * 200, `${counted.bytes} bytes for 12 of ${whole}`);
  counted.lost = counted.messages + 1;
  await bob.room("folded-1").publish("n", dataOf(12));
  await bob.room("folded-2").publish("n", dataOf(13));
  assert.deepEqual(await next(), ["folded-2", 13]);
  await bob.room("folded-1").publish("n", dataOf(14));
  assert.deepEqual(await next(), ["folded-1", "delta"]);
  await ann.room("other").publish("after", 1);
  for (const [at, room] of rooms.entries()) {
    await bob.room(room).publish("n", dataOf(15 + at));
    assert.deepEqual(await next(), [room, 15 + at]);
  }
});

Deno.test("what is kept has a bound that is a number of bytes", () => {
  for (const bytes of [0, -1, 1.5, 2 ** 32, Number.NaN]) {
    assert.throws(() => deltaSocket(undefined, { bytes }), /expected an integer from 1 to/);
  }
});
