/** Refusals of a connection are recorded once each. */
import assert from "node:assert/strict";
import { ArqonError, scanEnvelope, writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import type { JournalEntry } from "../../shared/journal/record.ts";
import { ann } from "../auth/testing/identity.ts";
import type { Caller } from "../message/caller.ts";
import { observersOf } from "../message/observers.ts";
import { publish } from "../message/pipeline.ts";
import { LIMITS, scan, testPath } from "../message/testing/path.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { isSampled } from "../../shared/sampling.ts";
import { Journal } from "./journal.ts";
import { JournalRules } from "./journal_place.ts";

const configOf = (mode: "off" | "refused" | "all") =>
  configFrom({ journal: { journal: mode } }).journal;

function callerOf(connection_id: string): Caller {
  return { identity: ann, connection_id, request_headers: [], remote_ip: "192.0.2.7" };
}

function testJournal(config = configOf("refused")): { journal: Journal; written: JournalEntry[] } {
  const written: JournalEntry[] = [];
  const journal = new Journal({
    rules: new JournalRules(config),
    classes: new RoomClasses([]),
    queue: { write: (_tenant, _keeping, entry) => void written.push(entry) },
    now: () => 1_767_323_045_000,
  });
  return { journal, written };
}

Deno.test("journal: refusals by a rate are all written, although they share one error", () => {
  const { journal, written } = testJournal();
  // `RateRefusals` shares it among all refusals with the same wait.
  const shared = new ArqonError("rate-limited", "", { retry_after_ms: 10 });
  for (const id of ["c1", "c1", "c2"]) {
    journal.denied({ caller: callerOf(id) }, "lobby", shared, shared);
  }
  assert.deepEqual(written.map(({ sender }) => sender.connection), ["c1", "c1", "c2"]);
});

Deno.test("journal: a refused message is written once, although its connection reports it again", () => {
  const { journal, written } = testJournal();
  const event = { type: "chat", data: new Uint8Array(2) };
  const bytes = writeEnvelope({ room_id: "lobby", message_id: "m1", event });
  const envelope = scanEnvelope(bytes, LIMITS);
  const error = new ArqonError("policy-rejected", "no");
  journal.message(callerOf("c1"), envelope);
  journal.refused(callerOf("c1"), envelope, error);
  journal.denied({ caller: callerOf("c1") }, "lobby", error, error);
  assert.deepEqual(written.map(({ message_id }) => message_id), ["m1"]);
});

Deno.test("journal: a refused message outside of the share is not written for its connection instead", () => {
  const { journal, written } = testJournal({ ...configOf("refused"), journal_share: 0.5 });
  const keys = Array.from({ length: 20 }, (_, at) => at.toString(16).padStart(32, "a"));
  const inside = keys.find((key) => isSampled(key, 0.5))!;
  for (const trace_id of keys) {
    const envelope = scan({ trace_id, message_id: trace_id });
    const error = new ArqonError("policy-rejected", "no");
    journal.message(callerOf(inside), envelope);
    journal.refused(callerOf(inside), envelope, error);
    journal.denied({ caller: callerOf(inside) }, "lobby", error, error);
  }
  assert.deepEqual(
    written.map(({ message_id }) => message_id),
    keys.filter((key) => isSampled(key, 0.5)),
  );
});

Deno.test("journal: the record says that the sender signed a message, and that it is a command", () => {
  const { journal, written } = testJournal();
  const event = { type: "chat", data: new Uint8Array(2) };
  const command = { name: "growing.append", data: new Uint8Array(2) };
  for (
    const [body, signature] of [
      [{ event }, new Uint8Array(64)],
      [{ event }, undefined],
      [{ command }, undefined],
    ] as const
  ) {
    const message = { room_id: "lobby", message_id: "m1", ...body };
    const bytes = writeEnvelope(signature === undefined ? message : { ...message, signature });
    const envelope = scanEnvelope(bytes, LIMITS);
    journal.message(callerOf("c1"), envelope);
    journal.refused(callerOf("c1"), envelope, new ArqonError("policy-rejected", "no"));
  }
  assert.deepEqual(written.map(({ is_signed }) => is_signed), [true, undefined, undefined]);
  assert.deepEqual(written.map(({ is_command }) => is_command), [undefined, undefined, true]);
});

Deno.test("journal: the server's confirmation of a message is requested only if its record needs it", async () => {
  for (const [mode, asked] of [["off", 0], ["refused", 1], ["all", 1]] as const) {
    const { journal } = testJournal(configOf(mode));
    const observers = observersOf([journal]);
    await using world = testPath([], undefined, undefined, { journal, observers });
    let pushed = 0;
    const path = { ...world.path, flushes: { push: () => void pushed++ } };
    await publish(path, { caller: callerOf("c1"), origin: undefined }, scan());
    assert.equal(pushed, asked, mode);
  }
});
