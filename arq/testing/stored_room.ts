/**
 * A durable room in a test's own process that answers `history.get`. It simulates what a bus rarely does: histories
 * that are trimmed or restarted at a given moment, and requests that fail for a while.
 */
import { readEnvelope, writeEnvelope } from "@arqon/proto";
import { Message } from "@arqon/sdk";
import type { RoomHistory } from "@arqon/sdk/history";
import type { HistoryQuery, HistorySource } from "../rooms/history.ts";

/** A stored message whose data is its offset. */
export function storedMessage(offset: number, epoch = "e1", timestamp_ms = offset): Message {
  const data = new TextEncoder().encode(String(offset));
  const event = { type: "t", data, content_type: "application/json" };
  const orders = { tenant_id: "default", room_id: "orders", timestamp_ms, sender_id: "u1" };
  return new Message(readEnvelope(writeEnvelope({ ...orders, offset, event })), epoch);
}

/** The GAP that the SDK inserts into the loop of a subscription. */
export function gap(reason: string): Message {
  const signal = { kind: "GAP", target: "orders", reason } as const;
  return new Message(readEnvelope(writeEnvelope({ room_id: "orders", timestamp_ms: 1, signal })));
}

/** A stored history, oldest message first. Offsets and epoch may change while it is read. */
export class StoredRoom implements HistorySource {
  readonly id = "orders";
  readonly queries: HistoryQuery[] = [];
  offsets: number[];
  epoch = "e1";
  /** Called before each answer; an error that it throws replaces the answer. */
  before: (query: HistoryQuery) => void = () => {};

  constructor(offsets: readonly number[]) {
    this.offsets = [...offsets];
  }

  // deno-lint-ignore require-await
  async history(query: HistoryQuery): Promise<RoomHistory> {
    this.queries.push(query);
    this.before(query);
    const { after = 0, before = 0, limit = 100, reverse = false } = query;
    const { epoch } = this;
    const fit = this.offsets.filter((at) => at > after && (before === 0 || at < before));
    if (reverse) fit.reverse();
    const messages = fit.slice(0, limit).map((at) => storedMessage(at, epoch));
    return { messages, offset: this.offsets.at(-1) ?? 0, epoch, more: fit.length > limit };
  }
}
