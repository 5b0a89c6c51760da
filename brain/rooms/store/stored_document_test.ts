/** The stored form of a room document: round trips, and foreign bytes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { afterwards, anyCommand, applied, lock, set, unlock } from "../testing/command_samples.ts";
import { emptyDocument } from "./document.ts";
import { decodeDocument, encodeDocument, settleDocument } from "./stored_document.ts";

const commands = fc.array(anyCommand, { maxLength: 40 });
const utf8 = new TextEncoder();

Deno.test("the stored form reads back as the same document", () => {
  fc.assert(fc.property(commands, fc.integer({ min: 1 }), (list, revision) => {
    const document = afterwards(list);
    if (document.version === 0) return;
    const bytes = encodeDocument(document);
    const settled = settleDocument(document, revision);
    assert.deepEqual(decodeDocument(bytes, revision), settled);
    assert.equal(settled.epoch, String(revision));
    assert.deepEqual(decodeDocument(encodeDocument(settled), revision + 1), settled);
  }));
});

Deno.test("only a write's own revision is filled in later, in the lock, its event and its answer", () => {
  const document = decodeDocument(
    encodeDocument(afterwards([set("k", 1), lock("c1", 500, { command_key: "x" })])),
    41,
  );
  assert.equal(document.lock?.fence, 41);
  assert.deepEqual(document.events.map(({ fence }) => fence), [undefined, 41]);
  assert.equal(document.applied.get("x")?.grant?.fence, 41);
  const later = decodeDocument(
    encodeDocument(afterwards([unlock("c1"), lock("c2")], document)),
    50,
  );
  assert.deepEqual(later.events.map(({ fence }) => fence), [undefined, 41, 41, 50]);
  assert.equal(later.epoch, "41");
});

Deno.test("a room created by its first member is version 0 with an epoch", () => {
  const born = { ...emptyDocument(), created_ms: 5 };
  const document = decodeDocument(encodeDocument(born), 9);
  assert.deepEqual(document, { ...born, epoch: "9" });
  assert.deepEqual(applied(document, [set("k", 1)]).document.created_ms, 5);
});

Deno.test("any other bytes in the bucket are one internal error", () => {
  const good = encodeDocument(afterwards([set("k", 1), lock("c1")]));
  const header = (members: object) =>
    JSON.stringify({
      format: 3,
      version: 1,
      epoch: "",
      created_ms: 1,
      entries: 0,
      events: 0,
      applied: [],
      start: 0,
      last_fence: 0,
      ...members,
    });
  decodeDocument(utf8.encode(`${header({})}\n`), 1);
  const broken = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.nat(good.length - 1).map((end) => good.slice(0, end)),
    fc.constantFrom(
      "\n",
      "{}\n",
      `${header({ format: 2 })}\n`,
      `${header({ version: -1 })}\n`,
      `${header({ applied: [["c", 1]] })}\n`,
      `${header({ applied: [["c", 1, 1, 1]] })}\n`,
      `${header({ entries: 1 })}\n`,
      `${header({ entries: 1 })}\n1\t2\n`,
      `${header({ entries: 1 })}\n"k" 2\n`,
      `${header({ events: 1 })}\n1\t2\n`,
      `${header({ events: 1 })}\nx\t2\t\t"a":1\n`,
      `${header({ lock: {} })}\n`,
    ).map((text) => utf8.encode(text)),
  );
  fc.assert(fc.property(broken, (bytes) => {
    assert.throws(
      () => decodeDocument(bytes, 1),
      (error) => error instanceof ArqonError && error.reason === "internal",
    );
  }));
});
