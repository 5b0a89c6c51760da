/** Which subjects a purge affects, and up to which offset messages may be missing. */
import assert from "node:assert/strict";
import { filterOf, isOf, Purges } from "./nats_log_erasures.ts";

const request = (question: unknown) => new TextEncoder().encode(JSON.stringify(question));

Deno.test("the filter of a purge is the request's, and everything without one", () => {
  assert.equal(filterOf(request({ filter: "log.t.acme.r.a", keep: 3 })), "log.t.acme.r.a");
  for (const other of [request({ seq: 3 }), request({ filter: "" }), request(null)]) {
    assert.equal(filterOf(other), ">");
  }
  assert.equal(filterOf(new Uint8Array()), ">");
});

Deno.test("a filter has the subjects that NATS would take", () => {
  const subject = "log.s.07.t.acme.r.a";
  for (const filter of [subject, "log.s.07.t.acme.r.*", "log.s.*.t.*.r.a", "log.>", ">"]) {
    assert.equal(isOf(subject, filter), true, filter);
  }
  for (
    const filter of ["log.s.07.t.acme.r", `${subject}.>`, "log.s.07.t.bolt.r.*", `${subject}.*`]
  ) {
    assert.equal(isOf(subject, filter), false, filter);
  }
});

Deno.test("nothing is sure of the time before anybody listened, nor below a purge", () => {
  const purges = new Purges();
  assert.equal(purges.through("a.1"), Infinity);
  purges.listen(10);
  assert.equal(purges.through("a.1"), 10);
  purges.noteRequest("a.*", 1_000);
  assert.deepEqual([purges.through("a.1"), purges.through("b.1")], [Infinity, 10]);
  purges.note(20, 30_999);
  assert.equal(purges.through("a.1"), Infinity, "it may be under way");
  purges.note(30, 31_000);
  purges.note(40, 99_000);
  assert.deepEqual([purges.through("a.1"), purges.through("b.1")], [30, 10]);
  purges.noteRequest("a.*", 100_000);
  assert.equal(purges.through("a.1"), Infinity);
  purges.deafen();
  assert.equal(purges.through("b.1"), Infinity);
});

Deno.test("more filters than are remembered count as a purge of everything", () => {
  const purges = new Purges();
  purges.listen(0);
  for (let n = 0; n < 1_000; n++) purges.noteRequest(`a.${n}`, 0);
  assert.deepEqual([purges.through("a.999"), purges.through("b")], [Infinity, 0]);
  purges.noteRequest("a.1000", 0);
  assert.equal(purges.through("b"), Infinity);
  purges.note(50, 30_000);
  assert.deepEqual([purges.through("a.1"), purges.through("b")], [50, 50]);
});
