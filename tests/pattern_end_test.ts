/**
 * A connection that ends, or whose new token grants less, leaves its rooms in slices, however many they are: after its
 * end it receives nothing from them and is not counted, and `why` reports that. `patterns_test.ts` tests which messages
 * patterns receive.
 */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { SHIELD_CAPABILITIES } from "../shield/capabilities.ts";
import { PATTERNS } from "../shield/patterns/capability.ts";
import type { Capability, Parts } from "../shield/capability.ts";
import { startWith, tokenOf, TOKENS } from "../shield/testing/lone_shield.ts";
import { roomSubject } from "../shared/subjects/subject.ts";
import { until } from "../shared/testing/until.ts";
import { ask, openText } from "./peers/raw_client.ts";

const ROOMS = 2_000;
/** Rooms with a subscription of their own. */
const NAMED = 500;
/** As many as may be left in the event loop turn of the end. */
const PIECE = 64;

function messageTo(room_id: string): Uint8Array {
  const event = { type: "t", data: new Uint8Array(), content_type: "", schema_id: "" };
  return writeEnvelope({ tenant_id: "acme", room_id, timestamp_ms: Date.now(), event });
}

/** A Shield, and a client with a pattern, where each room had a message, and with its own rooms. */
async function withRooms() {
  let parts: Parts | undefined;
  const hooks = { atEnd: () => {} };
  const probe: Capability = {
    name: "probe",
    title: "Looks at a connection's end.",
    open: () => ({ observer: { ended: () => hooks.atEnd() } }),
    start: (_env, given) => {
      parts = given;
      return {};
    },
  };
  const { shield, spine } = await startWith([...SHIELD_CAPABILITIES, probe], {
    server: { websocket: "native" },
  });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, shield.client);
  const { stats, running } = parts!;
  const { counts } = running.of(PATTERNS)!;
  const sendAll = () => {
    for (let at = 0; at < ROOMS; at++) {
      const room = `m-${at}`;
      spine.publish(roomSubject("in", "acme", room), messageTo(room));
    }
  };
  const client = await openText(`ws://127.0.0.1:${server.addr.port}/v1/socket`, TOKENS[0]!);
  await ask(client, { op: "sub", room: "m-*" });
  for (let at = 0; at < NAMED; at++) await ask(client, { op: "sub", room: `own-${at}` });
  sendAll();
  await until("all rooms are received", () => counts.rooms === ROOMS);
  return {
    ...{ stats, counts, hooks, sendAll, client },
    async [Symbol.asyncDispose]() {
      client.socket.close();
      await server.shutdown();
      await shield.drain();
      await spine.drain();
    },
  };
}

Deno.test("the end of a connection leaves its rooms in slices, and it receives nothing more of them", async () => {
  await using world = await withRooms();
  const { stats, counts, hooks, sendAll, client } = world;
  const sent = stats.egress_messages;
  const left = Promise.withResolvers<number>();
  hooks.atEnd = () => {
    left.resolve(ROOMS + NAMED - stats.rooms);
    sendAll();
  };
  client.socket.close();
  assert.equal(await left.promise, PIECE, "rooms that are left in the turn of the end");
  await until("nothing is left of it", () => counts.patterns + stats.rooms === 0);
  assert.equal(stats.egress_messages, sent, "messages that are counted after the end");
});

Deno.test("rooms that a new token does not grant are left in slices, and all of them when the refresh is answered", async () => {
  await using world = await withRooms();
  const { stats, counts, client } = world;
  const token = await tokenOf("user", { grants: [{ room: "other", actions: ["subscribe"] }] });
  let most = 0;
  let before = stats.rooms;
  const look = () => {
    most = Math.max(most, before - stats.rooms);
    before = stats.rooms;
    timer = setImmediate(look);
  };
  let timer = setImmediate(look);
  await ask(client, { op: "refresh", token });
  clearImmediate(timer);
  assert.equal(counts.patterns + stats.rooms, 0);
  assert.ok(most <= 4 * PIECE, `${most} rooms are left in one turn`);
});
