// The scripted server itself: a scenario with an unknown word does not start, and a client that deviates from the
// script is reported.
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { encodePing, encodePub, encodeRefresh, encodeSub, writeEnvelope } from "@arqon/proto";
import { type RunReport, startScenarioServer } from "../../typescript/testing/scenario_server.ts";
import { EventStreamPeer } from "./event_stream.ts";
import { ByteReader } from "./http.ts";
import { differs, plainClientFrame } from "./plain_frames.ts";
import { readScenarios } from "./script.ts";

const SCENARIO = {
  name: "n",
  about: "a",
  feature: "f",
  server: { connections: [[{ send: "welcome" }]] },
  client: { steps: [{ do: "connect" }] },
  expect: { statuses: [], connections: 1 },
};

const read = (scenario: unknown) =>
  readScenarios("x.json", JSON.stringify({ about: "a", scenarios: [scenario] }));

Deno.test("a scenario with an unknown word is refused, and the error has its position", () => {
  assert.equal(read(SCENARIO)[0]?.name, "n");
  const server = (step: unknown) => ({ ...SCENARIO, server: { connections: [[step]] } });
  const client = (step: unknown) => ({ ...SCENARIO, client: { steps: [step] } });
  const wrong: [unknown, RegExp][] = [
    [{ ...SCENARIO, expects: {} }, /x\.json: unknown "expects"/],
    [{ ...SCENARIO, expect: { statuses: [] } }, /expect: "connections" is missing/],
    [{ ...SCENARIO, expect: { ...SCENARIO.expect, frames: 1 } }, /unknown "frames"/],
    [server({ say: "welcome" }), /"n", connection 0, step 0: .* exactly one of refuse, send/],
    [server({ send: "ack", expect: "sub" }), /exactly one of/],
    [server({ send: "ack", times: 2 }), /unknown "times"; known are send, with, of/],
    [server({ message: "0" }), /not hex/],
    [client({ do: "reconnect" }), /client step 0: "do" is "reconnect"/],
    [client({ do: "publish", rooms: "a" }), /unknown "rooms"/],
    [{ ...SCENARIO, client: { options: { retries: 1 }, steps: [] } }, /unknown "retries"/],
  ];
  for (const [scenario, message] of wrong) assert.throws(() => read(scenario), { message });
});

Deno.test("a batch that is not the next one, or has another token, is reported", async () => {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const reader = new ByteReader(socket as unknown as Socket);
  const peer = new EventStreamPeer(socket as unknown as Socket, reader, "/x", "one");
  const refresh = encodeRefresh({ request_id: 1, token: "two" });
  const batch = (number: number, frame: Uint8Array) =>
    Uint8Array.of(0, 0, 0, number, 0, 0, 0, frame.length, ...frame);
  assert.equal(peer.take("two", batch(0, refresh)).status, 204);
  assert.equal(peer.take("two", batch(0, refresh)).status, 204, "again: nothing comes of it");
  assert.equal(peer.take("one", batch(1, encodePing())).status, 400);
  assert.equal(peer.take("two", batch(2, encodePing())).status, 400);
  assert.equal(peer.take("two", batch(1, new Uint8Array())).status, 204);
  const kinds = [];
  for await (const { kind } of peer.incoming()) kinds.push(kind);
  assert.deepEqual(kinds, ["binary", "text", "text", "end"]);
  socket.destroy();
});

Deno.test("an expectation is a part of the frame, and null means absent", () => {
  const bytes = encodeSub({ room_id: "lobby", request_id: 7, presence: true });
  const frame = plainClientFrame({ kind: "binary", bytes });
  assert.equal(differs({ kind: "sub", room_id: "lobby", epoch: null }, frame), undefined);
  assert.match(differs({ room_id: "hall" }, frame) ?? "", /\.room_id is "lobby"; expected "hall"/);
  assert.match(differs({ presence: null }, frame) ?? "", /\.presence is true/);
  assert.match(differs({ epoch: "e1" }, frame) ?? "", /\.epoch is undefined/);
});

/** Plays a scenario with a client that uses its WebSocket like this; resolves with the report. */
async function playedBy(scenario: string, client: (socket: WebSocket) => void): Promise<RunReport> {
  await using server = await startScenarioServer();
  const run = await server.begin(scenario);
  const socket = new WebSocket(`${run.url}/v1/socket`, ["arqon.v1"]);
  const closed = new Promise((resolve) => socket.onclose = resolve);
  socket.onopen = () => client(socket);
  await run.over();
  socket.close();
  await closed;
  return await run.report();
}

Deno.test("a client that sends an unexpected frame is reported", async () => {
  const { fulfilled, failures } = await playedBy(
    "a publish and its ACK",
    (socket) => socket.send(encodePing(new Uint8Array([1]))),
  );
  assert.equal(fulfilled, false);
  assert.match(failures.join(), /connection 0, step 1 .*\.kind is "ping"; expected "pub"/);
});

Deno.test("an unexpected frame is reported, though every script was played", async () => {
  const { fulfilled, failures } = await playedBy("a publish and its ACK", (socket) => {
    const pub = writeEnvelope({
      room_id: "lobby",
      ack_requested: true,
      request_id: 1,
      message_id: "m-1",
      headers: { a: "1" },
      event: {
        type: "chat",
        data: new TextEncoder().encode('{"n":1}'),
        content_type: "application/json",
      },
    });
    socket.send(encodePub(pub));
    socket.send(encodeSub({ room_id: "surprise", request_id: 2 }));
  });
  assert.equal(fulfilled, true);
  assert.equal(failures.length, 1);
  assert.match(failures.join(), /nobody expected .*"surprise"/);
});
