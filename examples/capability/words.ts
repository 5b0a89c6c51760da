/**
 * A capability outside the Shield's code: rooms that count their words. It has an observer, a metric, routes of the
 * admin API, a command and a card in the console, and it changes no file of the Shield. A program passes it to
 * `startShield` in its list.
 */
import type { ScannedEnvelope } from "@arqon/proto";
import type { Logger } from "../../shared/logs/log.ts";
import { scrapedCounter } from "../../shared/metrics/metrics_plain.ts";
import { AdminTable } from "../../shield/admin/routing/admin_routes.ts";
import type { Capability } from "../../shield/capability.ts";
import { answered } from "../../shield/message/command.ts";
import { EMPTY_ACK } from "../../shield/message/request_ref.ts";
import { COUNT, ID, object } from "../../shield/openapi/openapi_parts.ts";

/** The command that returns the count of a room; it needs the right to send commands there. */
const COUNT_WORDS = "words.count";

/** The counts of a Shield since its start. */
export interface WordCounts {
  /** Words of a room; 0 where none were counted. */
  of(tenant_id: string, room_id: string): number;
  ofTenant(tenant_id: string): { readonly rooms: number; readonly words: number };
}

const ROUTES = new AdminTable<WordCounts & { readonly log: Logger }>("words", {
  "GET /v1/tenants/{tenant}/words": {
    id: "countWords",
    summary: "how many words were published in a tenant's rooms here",
    answer: object({ tenant: ID, rooms: COUNT, words: COUNT }),
    scope: "tenant-in-path",
    handle: (counts, { tenant }) => Response.json({ tenant, ...counts.ofTenant(tenant) }),
  },
  "GET /v1/rooms/{tenant}/{room}/words": {
    id: "countRoomWords",
    summary: "how many words were published in a room here",
    answer: object({ words: COUNT }),
    scope: "tenant-in-path",
    handle: (counts, { tenant, names: { room = "" } }) =>
      Response.json({ words: counts.of(tenant, room) }),
  },
});

/** Words of an event, which is text of any kind. */
function wordsIn({ event, bytes }: ScannedEnvelope): number {
  if (event === undefined) return 0;
  const text = new TextDecoder().decode(bytes.subarray(event.data_start, event.data_end));
  return text.match(/[\p{L}\p{N}]+/gu)?.length ?? 0;
}

/** Counts in at most `rooms_max` rooms: a new room replaces the one that was silent the longest. */
export function words(rooms_max: number): Capability<WordCounts> {
  return {
    name: "words",
    title: "rooms that count their words",
    admin: { tables: [ROUTES], tags: { words: "rooms that count their words" } },
    room_card: { title: "Words", path: "/v1/rooms/{tenant}/{room}/words" },
    open({ registry, log }) {
      const rooms = new Map<string, { tenant_id: string; words: number }>();
      let total = 0;
      scrapedCounter(registry, "shield_words_total", "Words published in rooms.", () => total);
      const keyOf = (tenant_id: string, room_id: string) => `${tenant_id}\n${room_id}`;
      const own: WordCounts = {
        of: (tenant_id, room_id) => rooms.get(keyOf(tenant_id, room_id))?.words ?? 0,
        ofTenant(tenant_id) {
          const all = [...rooms.values()].filter((one) => one.tenant_id === tenant_id);
          return { rooms: all.length, words: all.reduce((sum, { words }) => sum + words, 0) };
        },
      };
      return {
        own,
        observer: {
          passed({ caller: { identity: { tenant_id } }, envelope }) {
            const more = wordsIn(envelope);
            const key = keyOf(tenant_id, envelope.room_id);
            const known = rooms.get(key)?.words ?? 0;
            total += more;
            rooms.delete(key);
            rooms.set(key, { tenant_id, words: known + more });
            const [oldest] = rooms.keys();
            if (rooms.size > rooms_max && oldest !== undefined) rooms.delete(oldest);
          },
        },
        start: ({ operations: { context: { path } } }) => ({
          routes: ROUTES.serve({ ...own, log }),
          commands: (name) =>
            name !== COUNT_WORDS
              ? undefined
              : (caller, envelope) =>
                answered(path, caller, envelope, () => {
                  const words = own.of(caller.identity.tenant_id, envelope.room_id);
                  const result = new TextEncoder().encode(JSON.stringify({ words }));
                  return Promise.resolve({ ...EMPTY_ACK, request_id: envelope.request_id, result });
                }),
        }),
      };
    },
  };
}
