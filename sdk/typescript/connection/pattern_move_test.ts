/** The positions of a pattern during a move, with a scripted peer: those of the old session count until its end. */
import assert from "node:assert/strict";
import { encodePong, type Subscribe } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect } from "../patterns.ts";
import { type Line, quick, startPeer } from "../testing/scripted_peer.ts";

const positionsOf = ({ positions }: Subscribe) => JSON.parse(new TextDecoder().decode(positions));

function stored(line: Line | undefined, room_id: string, offset: number): void {
  line?.say({ room_id, sender_id: "bob", offset, event: { type: "n" } });
}

Deno.test("positions of a pattern follow the messages that its loop received, over moves that fail and succeed", async () => {
  const asked: unknown[] = [];
  await using peer = startPeer({
    open: (line) => line.welcome(65_536),
    hear(line, operation) {
      if (operation.kind === "ping") return line.send(encodePong(operation.body));
      if (operation.kind !== "subscribe") return;
      asked.push(positionsOf(operation.subscribe));
      const lost = { "log-1": { recovered: false, reason: "history-trimmed", offset: 9 } };
      line.accept(operation.subscribe, { epoch: "e", positions: line.index === 0 ? {} : lost });
      // The program never receives what a session delivered that failed during its move.
      if (line.index !== 1) return;
      stored(line, "log-2", 7);
      line.socket.close(1011, "");
    },
  });
  await using bus = await connect({ ...quick(peer.url).options, random: () => 0 });
  using loop = bus.room("log-*").subscribe();
  await loop.ready;
  stored(peer.lines[0], "log-1", 5);
  assert.equal((await loop.next()).value?.offset, 5);
  peer.lines[0]?.drain();
  const { value: gap } = await loop.next();
  assert.deepEqual([gap?.room, gap?.signal?.reason], ["log-1", "history-trimmed"]);
  assert.deepEqual(asked, [{}, { e: { "log-1": 5 } }, { e: { "log-1": 5 } }]);
  stored(peer.lines[2], "log-2", 8);
  assert.equal((await loop.next()).value?.offset, 8);
  await until("the old session's end", () => peer.lines[0]?.is_closed === true);
  peer.lines[2]?.drop();
  await until("the next SUB", () => asked.length === 4);
  assert.deepEqual(asked[3], { e: { "log-1": 9, "log-2": 8 } });
});
