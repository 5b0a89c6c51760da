/**
 * Pages of subjects, as the server returns them for a stream with very many; `conformance_log_read.ts` tests the
 * listing.
 */
import assert from "node:assert/strict";
import { turnsDuring } from "../../../testing/turns_during.ts";
import type { Link } from "../connection/nats_link.ts";
import { LogApi } from "./nats_log_api.ts";
import type { Reading } from "./nats_log_read.ts";
import { readRooms } from "./nats_log_tenant.ts";

const PATTERN = "log.t.acme.r.*";

/** A stream whose subjects come in pages; `asked` records where each began. */
function readingOf(rooms: readonly string[], page: number, requests: number[]): Reading {
  const counts = rooms.map((room) => [PATTERN.replace("*", room), 1] as const);
  const connection = {
    request(_subject: string, question: Uint8Array) {
      const { subjects_filter, offset } = JSON.parse(new TextDecoder().decode(question));
      assert.equal(subjects_filter, PATTERN);
      requests.push(offset);
      const subjects = Object.fromEntries(counts.slice(offset, offset + page));
      const answer = JSON.stringify({ state: { subjects }, total: counts.length });
      return Promise.resolve({ data: new TextEncoder().encode(answer) });
    },
  };
  const api = new LogApi({ connection } as unknown as Link);
  return { api, stream: "LOG", timeout_ms: 1 } as unknown as Reading;
}

Deno.test("rooms of all pages of subjects are candidates, and only the requested number is kept", async () => {
  const rooms = Array.from({ length: 95 }, (_, at) => `r-${String(at).padStart(2, "0")}`);
  const requests: number[] = [];
  const reading = readingOf(rooms.toReversed(), 10, requests);
  const read = (prefix: string, after: string, limit: number) =>
    readRooms(reading, PATTERN, { prefix, after, limit });
  assert.deepEqual(await read("r-", "", 3), { rooms: ["r-00", "r-01", "r-02"], more: true });
  assert.deepEqual(requests, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
  assert.deepEqual(await read("r-9", "r-90", 9), {
    rooms: ["r-91", "r-92", "r-93", "r-94"],
    more: false,
  });
  assert.deepEqual(
    await readRooms(readingOf([], 10, []), PATTERN, {
      prefix: "",
      after: "",
      limit: 1,
    }),
    { rooms: [], more: false },
  );
});

Deno.test("others have their turns while a page of very many subjects is read", async () => {
  const rooms = Array.from({ length: 100_000 }, (_, at) => `r-${at}`);
  const reading = readingOf(rooms, 100_000, []);
  const read = () => readRooms(reading, PATTERN, { prefix: "", after: "", limit: 1_000 });
  const { value, turns } = await turnsDuring(read);
  assert.deepEqual(value, { rooms: rooms.toSorted().slice(0, 1_000), more: true });
  assert.ok(turns > 20, String(turns));
});
