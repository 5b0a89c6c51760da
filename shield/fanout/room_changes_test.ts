/** The changes of a room that its subscribers receive, under all faults of servers and Brains. */
import assert from "node:assert/strict";
import { readEnvelope, writeEnvelope } from "@arqon/proto";
import fc from "fast-check";
import { AGAIN_HEADER, changeId, FIRST_HEADER } from "../../shared/records/room_update.ts";
import { readChange, ReceivedChanges } from "./room_changes.ts";

const changeOf = (version: number, epoch = "7") => ({
  epoch,
  version,
  again_ms: undefined,
  is_first: false,
});
const again = (version: number, again_ms: number) => ({ ...changeOf(version), again_ms });
/** The first change since a room's creation. */
const born = (version: number, epoch: string) => ({ ...changeOf(version, epoch), is_first: true });

Deno.test("changes in order are next, and repeated or late ones are repetitions", () => {
  const received = new ReceivedChanges(0);
  assert.deepEqual(
    [changeOf(4), changeOf(5), changeOf(5), changeOf(4), again(5, 2_000), changeOf(6)]
      .map((change) => received.receive(change, 10_000)),
    ["next", "next", "repeated", "repeated", "repeated", "next"],
  );
});

Deno.test("a missing change is detected by the next one, also by a repeated one", () => {
  for (const later of [changeOf(6), again(6, 2_000)]) {
    const received = new ReceivedChanges(0);
    received.receive(changeOf(4), 0);
    assert.equal(received.receive(later, 10_000), "hole");
  }
  const received = new ReceivedChanges(0);
  received.receive(changeOf(4), 0);
  assert.equal(received.receive(again(5, 2_000), 10_000), "next");
});

Deno.test("changes before the first subscription are no news; changes missed since then are", () => {
  const opened_ms = 10_000;
  assert.equal(new ReceivedChanges(opened_ms).receive(again(4, 2_001), 12_000), "repeated");
  assert.equal(new ReceivedChanges(opened_ms).receive(again(4, 2_000), 12_000), "hole");
  // There is no earlier change.
  assert.equal(
    new ReceivedChanges(opened_ms).receive({ ...born(4, "7"), again_ms: 2_000 }, 12_000),
    "next",
  );
  // Overtaken: the Brain that wrote it reports it, too.
  assert.equal(new ReceivedChanges(opened_ms).receive(again(4, 20), 12_000), "next");
  const received = new ReceivedChanges(opened_ms);
  received.receive(again(4, 2_001), 12_000);
  assert.equal(received.receive(changeOf(5), 12_500), "next");
});

Deno.test("a recreated room starts again, and changes of its earlier incarnation are repetitions", () => {
  const received = new ReceivedChanges(0);
  const began = 1_795_161_298_967_001;
  const changes = [
    ...[changeOf(4), born(began, "9"), changeOf(5), changeOf(began + 1, "9")],
    // Another incarnation of unchanged rooms: its earlier changes were not reported.
    changeOf(began + 9_000, "11"),
    ...[born(began + 9_500, "13"), born(began, "9")],
  ];
  assert.deepEqual(
    changes.map((change) => received.receive(change, 1_000)),
    ["next", "next", "repeated", "next", "hole", "next", "repeated"],
  );
});

Deno.test("no order of changes hides a gap, or lets a version go back", () => {
  const changes = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.boolean()), {
    maxLength: 60,
  });
  fc.assert(fc.property(changes, (versions) => {
    const received = new ReceivedChanges(0);
    let last: number | undefined;
    for (const [version, is_again] of versions) {
      const change = is_again ? again(version, 5_000) : changeOf(version);
      const what = received.receive(change, 100_000);
      if (last !== undefined) {
        const expected = version <= last ? "repeated" : version === last + 1 ? "next" : "hole";
        assert.equal(what, expected);
      } else assert.equal(what, is_again ? "hole" : "next");
      last = Math.max(last ?? 0, version);
    }
  }));
});

Deno.test("only events of a Brain are changes", () => {
  const event = { type: "ROOM_UPDATE", data: new Uint8Array() };
  const message_id = changeId({ epoch: "7", version: 4 });
  const read = (envelope: Parameters<typeof writeEnvelope>[0], headers = {}) =>
    readChange(readEnvelope(writeEnvelope(envelope)), headers);
  assert.deepEqual(read({ event, message_id }), changeOf(4));
  assert.deepEqual(read({ event, message_id }, { [AGAIN_HEADER]: "2000" }), again(4, 2_000));
  assert.deepEqual(read({ event, message_id }, { [FIRST_HEADER]: "1" }), born(4, "7"));
  for (const text of ["", "x", "-1", "NaN"]) {
    const change = read({ event, message_id }, { [AGAIN_HEADER]: text });
    assert.equal(change?.again_ms, text === "" ? 0 : undefined);
  }
  assert.equal(read({ event, message_id, sender_id: "backend" }), undefined);
  assert.equal(read({ event: { ...event, type: "chat" }, message_id }), undefined);
  for (const other of ["", "room:", "room:7", "room::4", "room:7:", "room:7:0", "room:7:04", "a"]) {
    assert.equal(read({ event, message_id: other }), undefined, other);
  }
  assert.equal(read({ event, message_id: "room:7:9007199254740993" }), undefined);
});
