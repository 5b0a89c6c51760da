/**
 * A connection that ends leaves the rooms of its patterns in pieces, however many they are: it gets and counts nothing
 * of them meanwhile, and `why` knows it. What patterns hear is `patterns_test.ts`.
 */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import type { Capability } from "../shield/capability.ts";
import type { Parts } from "../shield/parts.ts";
import { startWith, TOKENS } from "../shield/testing/lone_shield.ts";
import { roomSubject } from "../shared/subjects/subject.ts";
import { until } from "../shared/testing/until.ts";
import { ask, openText } from "./peers/raw_client.ts";

const ROOMS = 2_000;
/** As many as may be left in the turn of the end. */
const PIECE = 64;

function messageTo(room_id: string): Uint8Array {
  const event = { type: "t", data: new Uint8Array(), content_type: "", schema_id: "" };
  return writeEnvelope({ tenant_id: "acme", room_id, timestamp_ms: Date.now(), event });
}

Deno.test("the end of a connection leaves the rooms of its patterns in pieces, and hears no more of them", async () => {
  let parts: Parts | undefined;
  let atEnd = () => {};
  const probe: Capability = {
    name: "probe",
    title: "Looks at a connection's end.",
    open: () => ({ observer: { ended: () => atEnd() } }),
    start: (_env, given) => {
      parts = given;
      return {};
    },
  };
  const { shield, spine } = await startWith([...SHIELD_CAPABILITIES, probe], {
    server: { websocket: "native" },
  });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, shield.client);
  const { stats } = parts!;
  const send = (at: number) => {
    const room = `m-${at}`;
    spine.publish(roomSubject("in", "acme", room), messageTo(room));
  };
  {
    using ann = await openText(`ws://127.0.0.1:${server.addr.port}/v1/socket`, TOKENS[0]!);
    await ask(ann, { op: "sub", room: "m-*" });
    for (let at = 0; at < ROOMS; at++) send(at);
    await until("all rooms are heard", () => stats.pattern_rooms === ROOMS);
    const sent = stats.egress_messages;
    const left = Promise.withResolvers<number>();
    atEnd = () => {
      left.resolve(ROOMS - stats.pattern_rooms);
      for (let at = 0; at < ROOMS; at++) send(at);
    };
    ann.socket.close();
    assert.equal(await left.promise, PIECE, "rooms that are left in the turn of the end");
    await until("nothing is left of it", () => stats.patterns + stats.rooms === 0);
    assert.equal(stats.egress_messages, sent, "messages that are counted after the end");
  }
  await server.shutdown();
  await shield.drain();
  await spine.drain();
});
