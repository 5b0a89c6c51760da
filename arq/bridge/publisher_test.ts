/** What a bridge before may have published is not published again, however long ago that was. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/sdk";
import type { Connection } from "@arqon/sdk";
import { connectedBus } from "./bus.ts";
import type { Committed } from "./bus.ts";
import { Publisher } from "./publisher.ts";

const SINCE_MS = 1_000_000_000;

const committed = (room: string, message_id: string): Committed => ({
  ...{ room, type: "order", data: "{}", message_id, headers: {}, commit_ms: SINCE_MS },
  place: { lsn: "0/1", number: 0 },
});

/** Rooms that have had these ids, each at its time; what is published is noted. */
function busWith(had: Readonly<Record<string, readonly (readonly [id: string, at_ms: number])[]>>) {
  const published: string[] = [];
  const asked: string[] = [];
  let refusals = 2;
  const room = (room_id: string) => ({
    history({ before = Infinity }: { before?: number }) {
      asked.push(room_id);
      if (room_id === "plain") return Promise.reject(new ArqonError("not-durable", room_id));
      const all = (had[room_id] ?? []).map(([message_id, timestamp_ms], at) => ({
        ...{ message_id, timestamp_ms, offset: at + 1 },
      })).filter(({ offset }) => offset < before).toReversed();
      return Promise.resolve({
        messages: all.slice(0, 2),
        offset: 9,
        epoch: "e",
        more: all.length > 2,
      });
    },
    publish(_type: string, _data: Uint8Array, { message_id }: { message_id: string }) {
      if (message_id === "bad") return Promise.reject(new ArqonError("policy-rejected", "no"));
      if (message_id === "late" && refusals-- > 0) {
        return Promise.reject(new ArqonError("rate-limited", "slower"));
      }
      published.push(`${room_id} ${message_id}`);
      return Promise.resolve({});
    },
  });
  const bus = connectedBus({ room } as unknown as Pick<Connection, "room">);
  return { bus, published, asked };
}

Deno.test("an early message that its room has is left out; a later one, or one the room has not, is published", async () => {
  const { bus, published, asked } = busWith({
    orders: [["ancient", SINCE_MS - 1e6], ["old", SINCE_MS - 61_000], ["a", SINCE_MS + 5], [
      "b",
      SINCE_MS + 6,
    ]],
  });
  const refused: string[] = [];
  const over: string[] = [];
  const publisher = new Publisher({
    ...{ bus, since_ms: SINCE_MS, signal: new AbortController().signal, onProblem: () => {} },
    onOver: ({ room, message_id }, outcome) => void over.push(`${room} ${message_id} ${outcome}`),
    onRefused: ({ message_id }) => Promise.resolve(void refused.push(message_id)),
  });
  await Promise.all([
    publisher.publish(committed("orders", "a"), true),
    publisher.publish(committed("orders", "late"), true),
    publisher.publish(committed("orders", "bad"), false),
    publisher.publish(committed("orders", "b"), true),
    publisher.publish(committed("orders", "a"), false),
    publisher.publish(committed("plain", "c"), true),
  ]);
  assert.deepEqual(published.filter((one) => one.startsWith("orders")), [
    "orders late",
    "orders a",
  ]);
  assert.deepEqual(published.filter((one) => one.startsWith("plain")), ["plain c"]);
  assert.deepEqual(refused, ["bad"]);
  assert.deepEqual(over.filter((one) => one.startsWith("orders")), [
    ...["orders a repeated", "orders late published", "orders bad refused"],
    ...["orders b repeated", "orders a published"],
  ]);
  assert.deepEqual(
    asked.filter((one) => one === "orders").length,
    2,
    "read until it is old enough",
  );
});
