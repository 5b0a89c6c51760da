/** The effect of commands on a room document: cases, and properties against a plain model. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError } from "@arqon/proto";
import { answerJson } from "./apply.ts";
import {
  afterwards,
  answer,
  anyCommand,
  applied,
  CONTEXT,
  get,
  plainCommand,
  remove,
  set,
} from "../testing/command_samples.ts";
import { emptyDocument } from "../store/document.ts";
import { EVENTS_MAX } from "../store/room_event.ts";

const commands = fc.array(anyCommand, { maxLength: 40 });
const plainCommands = fc.array(plainCommand, { maxLength: 40 });

Deno.test("a room without writes has version 0 and no epoch", () => {
  assert.deepEqual(answer(emptyDocument(), get()), { version: 0, epoch: "", state: {} });
  assert.deepEqual(answer(emptyDocument(), get("k")), {
    version: 0,
    epoch: "",
    key: "k",
    value: null,
    exists: false,
  });
});

Deno.test("a stored null differs from an absent key", () => {
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

Deno.test("a version of another epoch does not hold, one that is not reached yet is for later", () => {
  const document = { ...afterwards([set("k", 1)]), epoch: "7" };
  const conflict = "409 version-conflict: The room is at version 1";
  assert.equal(answer(document, set("k", 2, { expect_version: 1, epoch: "6" })), conflict);
  assert.equal(answer(document, get("k", { after_version: 1, epoch: "6" })), conflict);
  assert.equal(answer(document, get("k", { after_version: 9, epoch: "6" })), conflict);
  assert.equal(answer(document, get("k", { events_after: 0, epoch: "6" })), conflict);
  assert.equal(answer(document, get("k", { after_version: 2 })), "later");
  assert.equal(answer(document, set("k", 2, { after_version: 2n ** 60n, epoch: "7" })), "later");
  assert.deepEqual(answer(document, set("k", 2, { expect_version: 1, epoch: "7" })), {
    version: 2,
    epoch: "7",
  });
});

Deno.test("a delete is a write, also of a missing key", () => {
  const document = { ...afterwards([set("k", 1), remove("k"), remove("none")]), epoch: "7" };
  assert.deepEqual(answer(document, get()), { version: 3, epoch: "7", state: {} });
  assert.equal(document.entries_bytes, 0);
});

Deno.test("a repeated command answers what it answered and writes nothing", () => {
  const once = set("k", 1, { command_key: "c", expect_version: 1 });
  const document = { ...afterwards([set("a", 1), once, set("a", 2)]), epoch: "7" };
  assert.deepEqual(answer(document, once), { version: 2, epoch: "7" });
  assert.equal(afterwards([once], document), document);
});

Deno.test("a command that only a page remembers answers what it answered", () => {
  const once = set("k", 1, { command_key: "c", expect_version: 1 });
  const document = { ...afterwards([set("a", 1), set("a", 2), set("a", 3)]), epoch: "7" };
  const older = (key: string) =>
    key === "c" ? { version: 2, grant: undefined, at_ms: 1 } : undefined;
  assert.deepEqual(answer(document, once, { older }), { version: 2, epoch: "7" });
  assert.equal(afterwards([once], document, { older }), document);
});

Deno.test("any sets and gets end where a plain map ends, and the version counts the writes", () => {
  fc.assert(fc.property(plainCommands, (list) => {
    const { document, outcomes } = applied(emptyDocument(), list);
    const model = new Map<string, string>();
    const seen = new Set<string>();
    let writes = 0;
    for (const [index, command] of list.entries()) {
      const given = outcomes[index];
      assert.ok(given !== undefined && given !== "later");
      if (given instanceof ArqonError) {
        assert.equal(given.reason, "version-conflict");
        assert.ok(command.expect_version !== 0);
      } else if (command.kind === "get") {
        assert.equal(given.version, writes);
        if (given.kind === "value") assert.equal(given.value, model.get(given.key));
      } else if (command.kind === "set" && !seen.has(command.command_key ?? "")) {
        model.set(command.key, command.value);
        assert.equal(given.version, ++writes);
        if (command.command_key !== undefined) seen.add(command.command_key);
      }
    }
    assert.deepEqual(document.entries, model);
    assert.equal(document.version, writes);
  }));
});

Deno.test("every version is one event, without gaps, and a get returns the kept ones", () => {
  fc.assert(fc.property(commands, fc.nat(40), (list, events_after) => {
    const { document, fresh } = applied(emptyDocument(), list);
    const versions = fresh.map(({ event }) => event.version);
    assert.deepEqual(versions, Array.from(versions, (_, index) => index + 1));
    assert.equal(document.version, versions.length);
    const page = answer({ ...document, epoch: "7" }, get("k", { events_after }));
    const { events, truncated } = page as { events?: { version: number }[]; truncated?: true };
    if (truncated) return assert.ok((document.events[0]?.version ?? Infinity) > events_after + 1);
    const expected = versions.filter((version) => version > events_after);
    assert.deepEqual(events?.map(({ version }) => version), expected);
  }));
});

Deno.test("a document keeps its last 64 events, and long values and keys only as a mark", () => {
  const many = Array.from({ length: 100 }, (_, index) => set("k", index));
  const document = { ...afterwards(many), epoch: "7" };
  assert.equal(document.events.length, EVENTS_MAX);
  assert.deepEqual(answer(document, get("k", { events_after: 98 })), {
    version: 100,
    epoch: "7",
    key: "k",
    value: 99,
    exists: true,
    events: [98, 99].map((value) => ({
      version: value + 1,
      epoch: "7",
      op: "set",
      key: "k",
      value,
      by: "",
      at_ms: CONTEXT.now_ms,
    })),
  });
  const long = { ...afterwards([set("k", "x".repeat(600)), set("é".repeat(600), 1)]), epoch: "7" };
  const { events } = answer(long, get("none", { events_after: 0 })) as { events: unknown[] };
  const rest = { by: "", at_ms: CONTEXT.now_ms, truncated: true, epoch: "7" };
  assert.deepEqual(events, [
    { version: 1, first: true, op: "set", key: "k", ...rest },
    { version: 2, op: "set", ...rest },
  ]);
});

Deno.test("removed events are reported as truncated", () => {
  const many = Array.from({ length: 100 }, (_, index) => set("k", index));
  const page = answer(afterwards(many), get("k", { events_after: 3 }));
  assert.equal((page as { truncated: boolean }).truncated, true);
});

Deno.test("one batch and many answer alike", () => {
  fc.assert(fc.property(plainCommands, fc.nat(40), (list, cut) => {
    const whole = applied(emptyDocument(), list);
    const first = applied(emptyDocument(), list.slice(0, cut));
    const second = applied(first.document, list.slice(cut));
    assert.deepEqual(second.document, whole.document);
    assert.deepEqual([...first.outcomes, ...second.outcomes], whole.outcomes);
  }));
});

Deno.test("entries never exceed their limits, and a refused write changes nothing", () => {
  const bounds = fc.record({
    state_bytes: fc.integer({ min: 16, max: 400 }),
    keys_per_room: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(fc.property(plainCommands, bounds, (list, limits) => {
    const { document, outcomes } = applied(emptyDocument(), list, { limits });
    assert.ok(document.entries_bytes <= limits.state_bytes);
    assert.ok(document.entries.size <= limits.keys_per_room);
    const written = list.filter((_, index) => !(outcomes[index] instanceof ArqonError));
    assert.deepEqual(applied(emptyDocument(), written, { limits }).document, document);
  }));
});

Deno.test("a state that would be too large, or have too many keys, is 413", () => {
  const bounds = (state_bytes: number, keys_per_room: number) => ({
    limits: { state_bytes, keys_per_room },
  });
  const large = answer(emptyDocument(), set("k", "x".repeat(200)), bounds(128, 9));
  assert.match(String(large), /^413 message-too-large: .* brain\.state_bytes is 128$/);
  const one = afterwards([set("a", 1)]);
  assert.match(
    String(answer(one, set("b", 1), bounds(128, 1))),
    /^413 message-too-large: .* would have 2 keys; brain\.keys_per_room is 1$/,
  );
  assert.deepEqual(answer({ ...one, epoch: "7" }, set("a", 2), bounds(128, 1)), {
    version: 2,
    epoch: "7",
  });
});

Deno.test("every answer is JSON, and the whole state holds every key", () => {
  fc.assert(fc.property(commands, (list) => {
    const document = afterwards(list);
    const all = applied(document, [get()]).outcomes[0];
    assert.ok(all !== undefined && all !== "later" && !(all instanceof ArqonError));
    const state: Record<string, unknown> =
      JSON.parse(answerJson(all, { epoch: "7", fence: 7, start: 0 })).state;
    // fromEntries defines "__proto__" as an ordinary member, as JSON.parse does.
    const expected = Object.fromEntries(
      Array.from(document.entries, ([name, value]) => [name, JSON.parse(value)]),
    );
    assert.deepEqual(state, expected);
  }));
});

Deno.test("a tenant without space for a room reads it and does not make it", () => {
  const birth_refusal = new ArqonError("room-limit", "3");
  assert.deepEqual(answer(emptyDocument(), get(), { birth_refusal }), {
    version: 0,
    epoch: "",
    state: {},
  });
  assert.match(String(answer(emptyDocument(), set("k", 1), { birth_refusal })), /^429 room-limit/);
});
