/** For tests: the history of one tenant's rooms on a log in memory. Not part of the Shield. */
import { Filters } from "../../filter/filters.ts";
import { type Ack, type EnvelopeInput, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { NO_BANS } from "../../auth/bans.ts";
import type { Identity } from "../../auth/identity.ts";
import { callerOf, LIMITS } from "../../message/testing/path.ts";
import { RoomClasses } from "../../../shared/rooms/classes.ts";
import { ann } from "../../auth/testing/identity.ts";
import { createHistory, type History, type HistoryContext } from "../history/history.ts";
import { ModelLog } from "./model_log.ts";
import { NO_POLICIES } from "../../message/gates.ts";

/** Rooms whose ids begin with `kept-` are durable and keep ten messages. */
export const CONFIG = configFrom({
  rooms: [{ room: "kept-*", durable: true, history_size: 10, history_ttl_seconds: 60 }],
});

/** A history and its parts. */
export interface TestHistory {
  readonly history: History;
  readonly log: ModelLog;
  /** The purposes of all reads of the log so far. */
  readonly reads: string[];
  /** Stores a message of Ann's as a Shield does. */
  put(room_id: string, event: EnvelopeInput["event"]): number;
  /** Sends `history.get`. */
  get(
    room_id: string,
    data?: unknown,
    options?: { content_type?: string; identity?: Identity; tenant_id?: string },
  ): Promise<Ack>;
}

/** Makes a history on a fresh log; `change` replaces parts. */
export function testHistory(change: Partial<HistoryContext> = {}): TestHistory {
  const log = new ModelLog();
  const reads: string[] = [];
  const history = createHistory({
    filters: new Filters(CONFIG.filters, {}, () => 0),
    logs: { of: () => Promise.resolve(log) },
    classes: new RoomClasses(CONFIG.rooms),
    overseer: NO_POLICIES,
    bans: NO_BANS,
    limits: CONFIG.limits,
    stats: { read: (purpose) => void reads.push(purpose) },
    ...change,
  });
  return {
    history,
    log,
    reads,
    put(room_id, event) {
      const { tenant_id, user_id: sender_id } = ann;
      const envelope: EnvelopeInput = { tenant_id, room_id, sender_id, timestamp_ms: log.now_ms };
      return log.put(room_id, writeEnvelope({ ...envelope, ...(event && { event }) }));
    },
    get(room_id, data = {}, { content_type = "application/json", identity = ann, tenant_id } = {}) {
      const bytes = data instanceof Uint8Array
        ? data
        : new TextEncoder().encode(JSON.stringify(data));
      const command = { name: "history.get", data: bytes, content_type };
      const envelope = { room_id, tenant_id: tenant_id ?? "", request_id: 7, command };
      const answer = history.own(command.name)!;
      return answer(callerOf(identity), scanEnvelope(writeEnvelope(envelope), LIMITS));
    },
  };
}
