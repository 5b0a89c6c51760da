// Streams whose signal is aborted: while the bus still answers their beginning, and while they are written.
import assert from "node:assert/strict";
import { plainEnvelope } from "@arqon/proto";
import { pace } from "../../../shared/testing/pace.ts";
import { until } from "../../../shared/testing/until.ts";
import { connect } from "../mod.ts";
import { openStream, stream } from "../streams.ts";
import { quick, refusedWith, startRoom } from "../testing/scripted_peer.ts";

const REASON = "the reader has left";

/** A peer that accepts everything, the received commands, and a signal that is aborted with the first `last`. */
function startAborting(last: string) {
  const over = new AbortController();
  const came: unknown[] = [];
  const peer = startRoom((line, sub) => line.accept(sub), (line, operation) => {
    if (operation.kind !== "publish") return;
    const { command } = plainEnvelope(operation.envelope);
    came.push([command?.name, JSON.parse(new TextDecoder().decode(command?.data)).reason]);
    if (command?.name === last) over.abort(REASON);
    line.accept(operation.envelope, {
      seq: 0,
      started_ms: 1,
      idle_ms: 60_000,
      outcome: "aborted",
    });
  });
  return { peer, came, signal: over.signal };
}

Deno.test("a message whose signal is aborted while it begins is aborted once it has begun", async () => {
  const { peer, came, signal } = startAborting("growing.start");
  await using room = peer;
  await using bus = await connect(quick(room.url).options);
  const out = await openStream(bus.room("lobby"), { signal });
  await until("the end", () => out.ended.aborted);
  assert.deepEqual(came, [["growing.start", undefined], ["growing.abort", REASON]]);
  await assert.rejects(out.write("more"), refusedWith("growing-ended"));
});

Deno.test("a source whose signal is aborted rejects with the reason, whatever it writes then", async () => {
  const { peer, came, signal } = startAborting("growing.append");
  await using room = peer;
  await using bus = await connect(quick(room.url).options);
  async function* source() {
    for (;;) {
      await pace(1);
      yield "a";
    }
  }
  const streamed = stream(bus.room("lobby"), source(), { signal });
  await assert.rejects(streamed, (error) => error === REASON);
  await until("the abort", () => `${came.at(-1)}` === `growing.abort,${REASON}`);
});
