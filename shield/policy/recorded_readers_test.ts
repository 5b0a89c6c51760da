/** The journal has what policies decide about readers that are no subscribers. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { ann } from "../auth/testing/identity.ts";
import { NO_POLICIES, type Note, type Notes } from "../message/gates.ts";
import { callerOf } from "../message/testing/path.ts";
import { recordingReaders } from "./overseer.ts";

const NOTE = { asked() {}, judged() {}, checked() {} };

/** A journal that lists what it records. */
function listing() {
  const written: string[] = [];
  const rooms = new Map<Note, string>();
  const notes: Pick<Notes, "operation" | "allow" | "deny"> = {
    operation: (_caller, hook, room_id) => {
      const note = { ...NOTE };
      rooms.set(note, `${hook} ${room_id}`);
      return note;
    },
    allow: (note) => void written.push(`${rooms.get(note)} allowed`),
    deny: (note, error) => void written.push(`${rooms.get(note)} ${(error as ArqonError).reason}`),
  };
  return { notes: notes as Notes, written };
}

Deno.test("policies: what they decide about a reader without a SUB is recorded once, with their note", async () => {
  const { notes, written } = listing();
  const seen: (Note | undefined)[] = [];
  const judging = recordingReaders({
    ...NO_POLICIES,
    onSubscribe(_caller, room_id, note) {
      seen.push(note);
      if (room_id === "free") return undefined;
      return room_id === "open"
        ? Promise.resolve()
        : Promise.reject(new ArqonError("policy-rejected", "no"));
    },
  }, notes);
  const caller = callerOf(ann);
  await judging.onSubscribe(caller, "open");
  await assert.rejects(judging.onSubscribe(caller, "shut")!, { reason: "policy-rejected" });
  assert.equal(judging.onSubscribe(caller, "free"), undefined);
  assert.deepEqual(written, ["on_subscribe open allowed", "on_subscribe shut policy-rejected"]);
  // A SUB has its own, and whoever made it records it.
  const own = { ...NOTE };
  await judging.onSubscribe(caller, "open", own);
  assert.equal(seen.at(-1), own);
  assert.equal(written.length, 2);
});
