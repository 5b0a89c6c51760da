/** The report of a room's document for operators: keys with versions, the unexpired lock, one value. */
import assert from "node:assert/strict";
import { ROOM_KEYS_MAX, StateAnswer } from "../../shared/cluster/cluster_room.ts";
import { emptyDocument, type RoomDocument } from "./store/document.ts";
import { stateReport } from "./capability.ts";

const NOW_MS = 1_767_323_045_000;

function documentOf(change: Partial<RoomDocument>): RoomDocument {
  return { ...emptyDocument(), version: 9, epoch: "4", created_ms: NOW_MS - 1, ...change };
}

const event = (version: number, body: string) => ({
  version,
  at_ms: NOW_MS,
  body,
  fence: undefined,
});

Deno.test("keys are listed with their size and the version that wrote them, if it is known", () => {
  const document = documentOf({
    entries: new Map([["old", "1"], ["ü", '"é"'], ["gone", "2"]]),
    entries_bytes: 40,
    events: [
      event(6, '"op":"set","key":"ü","value":"a","by":"ann"'),
      event(7, '"op":"set","truncated":true,"by":"ann"'),
      event(8, '"op":"set","key":"ü","truncated":true,"by":"ann"'),
      event(9, '"op":"delete","key":"old","by":"ann"'),
    ],
  });
  const report = stateReport(document, undefined, NOW_MS);
  assert.deepEqual(report, {
    version: 9,
    epoch: "4",
    created_ms: NOW_MS - 1,
    keys: [
      { key: "old", size_bytes: 1 },
      { key: "ü", size_bytes: 4, version: 8 },
      { key: "gone", size_bytes: 1 },
    ],
    key_count: 3,
    size_bytes: 40,
  });
  assert.doesNotThrow(() => StateAnswer.parse({ document: report }));
  const one = stateReport(document, "ü", NOW_MS);
  assert.deepEqual([one.value, one.keys, one.key_count], ['"é"', [], 3]);
  assert.equal(stateReport(document, "never", NOW_MS).value, undefined);
});

Deno.test("an expired lease is no lock", () => {
  const lock = { user_id: "ann", connection_id: "c1", since_ms: 1, until_ms: NOW_MS, fence: 5 };
  assert.deepEqual(stateReport(documentOf({ lock }), undefined, NOW_MS - 1).lock, lock);
  assert.equal(stateReport(documentOf({ lock }), undefined, NOW_MS).lock, undefined);
});

Deno.test("of very many keys the first are listed, with the total number", () => {
  const many = new Map(Array.from({ length: 2_000 }, (_, at) => [`k-${at}`, "1"]));
  const report = stateReport(documentOf({ entries: many }), undefined, NOW_MS);
  assert.deepEqual([report.keys.length, report.key_count], [ROOM_KEYS_MAX, 2_000]);
  const long = new Map(Array.from({ length: 900 }, (_, at) => [`${at}-`.padEnd(4_000, "k"), "1"]));
  const { keys } = stateReport(documentOf({ entries: long }), undefined, NOW_MS);
  assert.ok(keys.length > 200 && keys.length < 300, `${keys.length} keys of 4 KB`);
});
