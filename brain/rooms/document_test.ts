/** The room document against a plain model, and its stored form. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import {
  answerJson,
  APPLIED_MAX,
  applyCommands,
  decodeDocument,
  emptyDocument,
  encodeDocument,
} from "./document.ts";
import type { GetCommand, RoomCommand, RoomDocument, SetCommand } from "./document.ts";

const ANY = { expect_version: 0, after_version: 0, epoch: "" };
const STATE_BYTES = 262_144;

function set(key: string, value: unknown, more: Partial<SetCommand> = {}): SetCommand {
  return {
    kind: "set",
    key,
    value: JSON.stringify(value),
    command_key: undefined,
    ...ANY,
    ...more,
  };
}

function get(key?: string, more: Partial<GetCommand> = {}): GetCommand {
  return { kind: "get", key, ...ANY, ...more };
}

function afterwards(commands: RoomCommand[], document = emptyDocument()): RoomDocument {
  return applyCommands(document, commands, STATE_BYTES).document;
}

/** The one answer, as the client reads it. */
function answer(document: RoomDocument, command: RoomCommand): unknown {
  const [first] = applyCommands(document, [command], STATE_BYTES).answers;
  assert.ok(first !== undefined);
  return first instanceof ArqonError
    ? `${first.code} ${first.reason}: ${first.message}`
    : JSON.parse(answerJson(first, document.epoch));
}

const key = fc.oneof(
  fc.constantFrom("a", "b", "__proto__", "constructor", "tab\there", "line\nfeed"),
  fc.string({ unit: "binary", minLength: 1, maxLength: 8 }),
);
const version = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  fc.nat(8),
  fc.constant(2n ** 60n),
);
const setCommand: fc.Arbitrary<SetCommand> = fc.record({
  kind: fc.constant("set"),
  key,
  value: fc.jsonValue().map((value) => JSON.stringify(value)),
  expect_version: version,
  after_version: fc.constant(0),
  epoch: fc.constant(""),
  command_key: fc.option(fc.nat(20).map(String), { nil: undefined }),
});
const getCommand: fc.Arbitrary<GetCommand> = fc.record({
  kind: fc.constant("get"),
  key: fc.option(key, { nil: undefined }),
  expect_version: version,
  after_version: version,
  epoch: fc.constant(""),
});
const commands = fc.array(fc.oneof({ weight: 3, arbitrary: setCommand }, getCommand), {
  maxLength: 40,
});

Deno.test("a room that nobody wrote to is version 0, without an epoch", () => {
  assert.deepEqual(answer(emptyDocument(), get()), { version: 0, epoch: "", state: {} });
  assert.deepEqual(answer(emptyDocument(), get("k")), {
    version: 0,
    epoch: "",
    key: "k",
    value: null,
    exists: false,
  });
});

Deno.test("a stored null is told from an absent key", () => {
  const document = { ...afterwards([set("k", null)]), epoch: "7" };
  assert.deepEqual(answer(document, get("k")), {
    version: 1,
    epoch: "7",
    key: "k",
    value: null,
    exists: true,
  });
});

Deno.test("expect_version lets the holder of the current version write and refuses all others", () => {
  const document = { ...afterwards([set("k", 1), set("k", 2)]), epoch: "7" };
  assert.deepEqual(answer(document, set("k", 3, { expect_version: 2 })), {
    version: 3,
    epoch: "7",
  });
  for (const expect_version of [1, 3, 2n ** 64n - 1n]) {
    assert.equal(
      answer(document, set("k", 3, { expect_version })),
      "409 version-conflict: The room is at version 2",
    );
  }
});

Deno.test("a version of another epoch, or one that was never reached, does not hold", () => {
  const document = { ...afterwards([set("k", 1)]), epoch: "7" };
  const conflict = "409 version-conflict: The room is at version 1";
  assert.equal(answer(document, set("k", 2, { expect_version: 1, epoch: "6" })), conflict);
  assert.equal(answer(document, get("k", { after_version: 1, epoch: "6" })), conflict);
  assert.equal(answer(document, get("k", { after_version: 2 })), conflict);
  assert.deepEqual(answer(document, set("k", 2, { expect_version: 1, epoch: "7" })), {
    version: 2,
    epoch: "7",
  });
});

Deno.test("a repeated command answers what it answered and writes nothing", () => {
  const once = set("k", 1, { command_key: "c", expect_version: 1 });
  const document = { ...afterwards([set("a", 1), once, set("a", 2)]), epoch: "7" };
  assert.deepEqual(answer(document, once), { version: 2, epoch: "7" });
  assert.equal(afterwards([once], document), document);
});

Deno.test("a room remembers its last 64 commands", () => {
  const numbered = (index: number) => set("k", index, { command_key: String(index) });
  const all = Array.from({ length: APPLIED_MAX + 1 }, (_, index) => numbered(index));
  const document = afterwards(all);
  assert.equal(document.applied.size, 64);
  assert.equal(afterwards([numbered(1)], document).version, 65, "the second is remembered");
  assert.equal(afterwards([numbered(0)], document).version, 66, "the first is forgotten");
});

Deno.test("any commands end where a plain map ends, and the version counts the writes", () => {
  fc.assert(fc.property(commands, (list) => {
    const { document, answers } = applyCommands(emptyDocument(), list, STATE_BYTES);
    const model = new Map<string, string>();
    const seen = new Set<string>();
    let writes = 0;
    for (const [index, command] of list.entries()) {
      const given = answers[index];
      assert.ok(given !== undefined);
      if (given instanceof ArqonError) {
        assert.equal(given.reason, "version-conflict");
        assert.ok(command.expect_version !== 0 || command.after_version !== 0);
      } else if (command.kind === "get") {
        assert.equal(given.version, writes);
        if (given.kind === "value") assert.equal(given.value, model.get(given.key));
      } else if (!seen.has(command.command_key ?? "")) {
        model.set(command.key, command.value);
        assert.equal(given.version, ++writes);
        if (command.command_key !== undefined) seen.add(command.command_key);
      }
    }
    assert.deepEqual(document.entries, model);
    assert.equal(document.version, writes);
  }));
});

Deno.test("one batch and many answer alike", () => {
  fc.assert(fc.property(commands, fc.nat(40), (list, cut) => {
    const whole = applyCommands(emptyDocument(), list, STATE_BYTES);
    const first = applyCommands(emptyDocument(), list.slice(0, cut), STATE_BYTES);
    const second = applyCommands(first.document, list.slice(cut), STATE_BYTES);
    assert.deepEqual(second.document, whole.document);
    assert.deepEqual([...first.answers, ...second.answers], whole.answers);
  }));
});

Deno.test("the stored form reads back as the same document", () => {
  fc.assert(fc.property(commands, fc.integer({ min: 1 }), (list, revision) => {
    const document = afterwards(list);
    if (document.version === 0) return;
    const bytes = encodeDocument(document);
    assert.deepEqual(decodeDocument(bytes, revision), { ...document, epoch: String(revision) });
    const later = encodeDocument({ ...document, epoch: "3" });
    assert.equal(decodeDocument(later, revision).epoch, "3", "the epoch outlives its revision");
  }));
});

Deno.test("entries never pass state_bytes, and a refused write changes nothing", () => {
  fc.assert(fc.property(commands, fc.integer({ min: 16, max: 400 }), (list, state_bytes) => {
    const { document, answers } = applyCommands(emptyDocument(), list, state_bytes);
    assert.ok(document.entries_bytes <= state_bytes);
    const written = list.filter((_, index) => !(answers[index] instanceof ArqonError));
    assert.deepEqual(applyCommands(emptyDocument(), written, state_bytes).document, document);
  }));
});

Deno.test("a write that would make the state too large is 413", () => {
  const { answers } = applyCommands(emptyDocument(), [set("k", "x".repeat(200))], 128);
  assert.ok(answers[0] instanceof ArqonError);
  assert.equal(answers[0].reason, "message-too-large");
  assert.equal(answers[0].code, 413);
});

Deno.test("every answer is JSON, and the whole state holds every key", () => {
  fc.assert(fc.property(commands, (list) => {
    const document = afterwards(list);
    const all = applyCommands(document, [get()], STATE_BYTES).answers[0];
    assert.ok(all !== undefined && !(all instanceof ArqonError));
    const state: Record<string, unknown> = JSON.parse(answerJson(all, "7")).state;
    // fromEntries defines "__proto__" as an ordinary member, as JSON.parse does.
    const expected = Object.fromEntries(
      Array.from(document.entries, ([name, value]) => [name, JSON.parse(value)]),
    );
    assert.deepEqual(state, expected);
  }));
});

Deno.test("any other bytes in the bucket are one internal error", () => {
  const good = encodeDocument(afterwards([set("k", 1)]));
  const broken = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.nat(good.length - 1).map((end) => good.slice(0, end)),
    fc.constantFrom(
      "\n",
      "{}\n",
      '{"format":2,"version":1,"epoch":"","entries":0,"applied":[]}\n',
      '{"format":1,"version":0,"epoch":"","entries":0,"applied":[]}\n',
      '{"format":1,"version":1,"epoch":"","entries":0,"applied":[["c"]]}\n',
      '{"format":1,"version":1,"epoch":"","entries":1,"applied":[]}\n1\t2\n',
      '{"format":1,"version":1,"epoch":"","entries":1,"applied":[]}\n"k" 2\n',
    ).map((text) => new TextEncoder().encode(text)),
  );
  fc.assert(fc.property(broken, (bytes) => {
    assert.throws(
      () => decodeDocument(bytes, 1),
      (error) => error instanceof ArqonError && error.reason === "internal",
    );
  }));
});
