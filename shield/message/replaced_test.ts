/** A message with a payload replaced by a policy: its schema is checked again. */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import type { JournalEntry } from "../../shared/journal/record.ts";
import { ann } from "../auth/testing/identity.ts";
import { Journal } from "../journal/journal.ts";
import { JournalRules } from "../journal/journal_place.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { SPINE_NOW_MS } from "../testing/spine.ts";
import { observersOf } from "./observers.ts";
import type { MessagePath } from "./pipeline.ts";
import { scan, testPath } from "./testing/path.ts";
import { NO_POLICIES, NO_SCHEMAS } from "./gates.ts";

Deno.test("a dead letter with a payload of a policy names the policy", async () => {
  const kept: Uint8Array[] = [];
  const refusal = {
    error: new ArqonError("schema-violation"),
    dead_letter: [["why", "n"]] as const,
  };
  const answers = [undefined, refusal];
  const onMessage: MessagePath["overseer"]["onMessage"] = (
    caller,
    envelope,
    path,
    replaced,
    note,
  ) => void replaced?.(path!, caller, envelope, ["x-arqon-replaced", "mask"], note);
  const keep = (_: string, routed: Uint8Array) => void kept.push(routed);
  const check = () => answers.shift();
  const schemas = { ...NO_SCHEMAS, isEmpty: false, check, keep };
  await using path = testPath([], { ...NO_POLICIES, onMessage }, schemas);
  assert.equal(await path.send(ann, scan()), "schema-violation");
  const { "x-arqon-replaced": mark, why } = readEnvelope(kept[0]!).headers;
  assert.deepEqual([mark, why], ["mask", "n"]);
});

Deno.test("the journal has the violations of a policy's payload, and of the original one", async () => {
  const violation = { path: "id", rule: "string.min_len", message: "too short" };
  const refusal = { error: new ArqonError("schema-violation"), dead_letter: undefined };
  for (const violated of ["came", "made"]) {
    const written: JournalEntry[] = [];
    const journal = new Journal({
      rules: new JournalRules(configFrom({ journal: { journal: "all" } }).journal),
      classes: new RoomClasses([]),
      queue: { write: (_tenant, _keeping, entry) => void written.push(entry) },
      now: () => SPINE_NOW_MS,
    });
    const payloads = ["came", "made"];
    const check: MessagePath["schemas"]["check"] = (_subject, _tenant, _envelope, note) => {
      const is_violated = payloads.shift() === violated;
      note?.checked("shop", 3, is_violated ? violation : undefined);
      // A mapping that only observes admits the first one.
      return is_violated && violated === "made" ? refusal : undefined;
    };
    const onMessage: MessagePath["overseer"]["onMessage"] = (caller, envelope, path, again, note) =>
      void again?.(path!, caller, envelope, ["x-arqon-replaced", "mask"], note);
    const schemas = { ...NO_SCHEMAS, isEmpty: false, check };
    await using path = testPath([], { ...NO_POLICIES, onMessage }, schemas, {
      journal,
      observers: observersOf([journal]),
    });
    const sent = await path.send(ann, scan());
    assert.equal(sent, violated === "made" ? "schema-violation" : undefined);
    assert.deepEqual(written.map(({ schema }) => schema), [{ id: "shop", version: 3, violation }]);
  }
});
