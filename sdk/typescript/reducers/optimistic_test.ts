// Optimistic calls of a room whose values this client may no longer receive.
import assert from "node:assert/strict";
import { builtReducer } from "../../../shared/testing/reducers.ts";
import { until } from "../../../shared/testing/until.ts";
import { connect } from "../mod.ts";
import { optimistic, reduced } from "../reducers.ts";
import { CLEAN } from "../testing/counted.ts";
import { quick, refusedWith, startRoom } from "../testing/scripted_peer.ts";

Deno.test(
  "a kick or a ban withdraws own predictions and refuses calls under way",
  CLEAN,
  async () => {
    let calls = 0;
    await using peer = startRoom((line, sub) => line.accept(sub), (line, operation) => {
      if (operation.kind !== "publish") return;
      const { envelope } = operation;
      const name = envelope.command?.name;
      if (name === "room.values") line.accept(envelope, { scope: "s", version: 1, values: [] });
      if (name !== "room.call") return;
      calls += 1;
      // The first one is answered, but its changes never arrive.
      if (calls === 1) line.accept(envelope, { entry: 2, visible: true, answer: 1 });
    });
    for (
      const [kind, reason] of [["DISCONNECT", "disconnected"], ["BAN", "room-banned"]] as const
    ) {
      calls = 0;
      await using bus = await connect(quick(peer.url).options);
      const room = reduced(bus.room("lobby"));
      using counter = await optimistic(room, { module: builtReducer("counter"), user: "ann" });
      await counter.call("add", 1);
      const under_way = counter.call("add", 2);
      assert.deepEqual([counter.read("total"), counter.pending], ["3", 2]);
      await until("both are sent", () => calls === 2);
      const room_id = "lobby~values";
      peer.line.say({ room_id, signal: { kind, target: room_id, reason: "spam", until_ms: 0 } });
      await assert.rejects(under_way, refusedWith(reason));
      assert.deepEqual([counter.read("total"), counter.pending], [undefined, 0]);
      await assert.rejects(counter.watched.ended, refusedWith(reason));
      await assert.rejects(counter.call("add", 3), refusedWith(reason));
      assert.equal(calls, 2, "a later call is not sent");
    }
  },
);
