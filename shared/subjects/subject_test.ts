/**
 * Properties of the subject builders: a built subject parses back, and no other text parses. Which pattern matches
 * which subject, and which of several wins; compared with a literal implementation of the rules.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { ArqonError, isId, type Reason } from "@arqon/proto";
import { anyCharacter } from "../testing/any_character.ts";
import {
  ALL_COMMANDS,
  ALL_TAPPED,
  blockSubject,
  commandSubject,
  deadLetterSubject,
  HELLO,
  logSubject,
  parseBlockSubject,
  parseRoomSubject,
  presenceSubject,
  processSubject,
  roomSubject,
  sharedLogSubject,
  tapSubject,
  tenantBlocksPattern,
  tenantOfSubject,
  tenantSubject,
} from "./subject.ts";
import { exactSubject, subjectPattern } from "../spine/testing/subjects.ts";
import {
  canMatchBelow,
  compareSpecificity,
  compilePatterns,
  patternProblem,
} from "./subject_pattern.ts";

const id = fc.stringMatching(/^[A-Za-z0-9_~:=-]{1,64}$/);
const plane = fc.constantFrom("in" as const, "out" as const);
/** Any text, and texts that resemble ids. */
const notId = fc.oneof(
  fc.string({ unit: anyCharacter }),
  fc.constantFrom("", ".", "*", ">", "a.b", "a b", "a\u0000", "a*", "é", "x".repeat(65), "a\n"),
  fc.tuple(id, fc.constantFrom(".", "*", ">", " ", "\t", "\r\n", "\0", "/", "$"), id)
    .map((parts) => parts.join("")),
).filter((text) => !isId(text));

function reasonOf(build: () => unknown): Reason {
  try {
    build();
  } catch (error) {
    assert.ok(error instanceof ArqonError);
    return error.reason;
  }
  assert.fail("expected a refusal");
}

/** NATS matching, implemented from its documentation. */
function natsMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".");
  const given = subject.split(".");
  if (wanted.at(-1) === ">") {
    return given.length >= wanted.length &&
      wanted.slice(0, -1).every((token, index) => token === "*" || token === given[index]);
  }
  return wanted.length === given.length &&
    wanted.every((token, index) => token === "*" || token === given[index]);
}

Deno.test("room subjects have the form of the contract", () => {
  assert.equal(roomSubject("in", "acme", "lobby"), "in.t.acme.r.lobby");
  assert.equal(roomSubject("out", "acme", "lobby"), "out.t.acme.r.lobby");
  assert.equal(commandSubject("acme", "lobby"), "t.acme.r.lobby.cmds");
});

Deno.test("a rebuilt subject is equal, however many were built between", () => {
  const rooms = Array.from({ length: 40_000 }, (_, index) => `room-${index}`);
  for (let round = 0; round < 2; round++) {
    for (const room of rooms) {
      assert.equal(roomSubject("in", "acme", room), `in.t.acme.r.${room}`);
      assert.equal(roomSubject("in", "globex", room), `in.t.globex.r.${room}`);
    }
  }
  assert.equal(reasonOf(() => roomSubject("in", "acme", "room-1.>")), "invalid-room");
  assert.equal(reasonOf(() => roomSubject("in", "ac.me", "room-1")), "tenant-mismatch");
});

Deno.test("tenant and room of every built subject read back", () => {
  fc.assert(fc.property(plane, id, id, (where, tenantId, roomId) => {
    for (
      const subject of [roomSubject(where, tenantId, roomId), commandSubject(tenantId, roomId)]
    ) {
      assert.deepEqual(parseRoomSubject(subject), { tenantId, roomId });
    }
  }));
});

Deno.test("different tenants or rooms never share a subject", () => {
  fc.assert(fc.property(id, id, id, id, (tenantA, roomA, tenantB, roomB) => {
    fc.pre(tenantA !== tenantB || roomA !== roomB);
    const all = (tenant: string, room: string): string[] => [
      roomSubject("in", tenant, room),
      roomSubject("out", tenant, room),
      commandSubject(tenant, room),
    ];
    assert.equal(new Set([...all(tenantA, roomA), ...all(tenantB, roomB)]).size, 6);
  }));
});

Deno.test("a subject's tenant is found in every form, and the bus's own has none", () => {
  fc.assert(fc.property(id, id, plane, (tenant, room, of) => {
    const out = roomSubject(of, tenant, room);
    for (
      const subject of [
        out,
        commandSubject(tenant, room),
        tapSubject(tenant, room),
        logSubject(tenant, room),
        sharedLogSubject("7", tenant, room),
        presenceSubject(tenant, room),
        tenantSubject("signals", tenant),
        blockSubject("journal", tenant, room),
        deadLetterSubject(out),
      ]
    ) assert.equal(tenantOfSubject(subject), tenant, subject);
    for (
      const own of [processSubject("direct", tenant), HELLO, "_INBOX.t1"]
    ) {
      assert.equal(tenantOfSubject(own), "", own);
    }
  }));
});

Deno.test("every built subject is exact: five tokens and no wildcard", () => {
  fc.assert(fc.property(plane, id, id, (where, tenantId, roomId) => {
    for (
      const subject of [roomSubject(where, tenantId, roomId), commandSubject(tenantId, roomId)]
    ) {
      assert.equal(exactSubject(subject), subject);
      assert.equal(subject.split(".").length, 5);
    }
  }));
});

Deno.test("a room that is not an id is refused as invalid-room, whatever it is", () => {
  fc.assert(fc.property(plane, id, notId, (where, tenantId, roomId) => {
    assert.equal(reasonOf(() => roomSubject(where, tenantId, roomId)), "invalid-room");
    assert.equal(reasonOf(() => commandSubject(tenantId, roomId)), "invalid-room");
  }));
});

Deno.test("a tenant that is not an id is refused as tenant-mismatch and is not repeated", () => {
  fc.assert(fc.property(plane, notId, id, (where, tenantId, roomId) => {
    assert.equal(reasonOf(() => roomSubject(where, tenantId, roomId)), "tenant-mismatch");
    assert.equal(reasonOf(() => commandSubject(tenantId, roomId)), "tenant-mismatch");
  }));
});

Deno.test("the Brain's patterns match every command and tapped message, and no subscriber's subject", () => {
  fc.assert(fc.property(id, id, (tenantId, roomId) => {
    const published = roomSubject("in", tenantId, roomId);
    const sent = roomSubject("out", tenantId, roomId);
    const tapped = tapSubject(tenantId, roomId);
    const command = commandSubject(tenantId, roomId);
    const matching = (pattern: string) =>
      [published, sent, tapped, command].filter((subject) => natsMatches(pattern, subject));
    assert.deepEqual(matching(ALL_TAPPED), [tapped]);
    assert.deepEqual(matching(ALL_COMMANDS), [command]);
  }));
});

Deno.test("parsing never throws, and only returns ids", () => {
  const pieces = fc.array(
    fc.oneof(fc.constantFrom("t", "r", "in", "out", "cmds", "*", ">", ""), id, fc.string()),
    { maxLength: 8 },
  );
  fc.assert(fc.property(fc.oneof(fc.string(), pieces.map((list) => list.join("."))), (text) => {
    const parsed = parseRoomSubject(text);
    if (parsed === undefined) return;
    assert.ok(isId(parsed.tenantId) && isId(parsed.roomId));
    assert.ok(text.includes(`t.${parsed.tenantId}.r.${parsed.roomId}`));
  }));
});

Deno.test("other subjects of the bus are not room subjects", () => {
  for (
    const subject of [
      "",
      "t",
      "in.t.acme",
      "in.t.acme.r",
      "in.t.acme.r.",
      "in.t..r.lobby",
      "in.t.acme.x.lobby",
      "sys.t.acme.signal",
      "sys.presence.delta",
      "_INBOX.abc.1",
    ]
  ) {
    assert.equal(parseRoomSubject(subject), undefined, subject);
  }
});

Deno.test("exactSubject refuses wildcards, empty tokens, white space and more than 32 tokens", () => {
  for (const good of ["a", "a.b.c", "_INBOX.x-1.y", "$SYS.a", "sys.presence.delta"]) {
    assert.equal(exactSubject(good), good);
  }
  const bad = ["", ".", "a.", ".a", "a..b", "*", "a.*", ">", "a.>", "a b", "a\t", "a\u0000", "é"];
  for (const text of [...bad, Array(33).fill("a").join(".")]) {
    assert.throws(() => exactSubject(text), TypeError, JSON.stringify(text));
  }
  assert.equal(exactSubject(Array(32).fill("a").join(".")).length, 63);
});

Deno.test("subjectPattern accepts * as any token and > only as the last", () => {
  for (const good of ["a", "*", ">", "a.*", "*.b", "in.t.>", ALL_COMMANDS, ALL_TAPPED]) {
    assert.equal(subjectPattern(good), good);
  }
  for (const bad of ["", "a.>.b", ">.a", "a*", "a.b*", "*a", "a.>>", "**", "a..b", "a. "]) {
    assert.throws(() => subjectPattern(bad), TypeError, JSON.stringify(bad));
  }
});

Deno.test("whatever is an exact subject is a pattern that matches only itself", () => {
  const tokens = fc.array(id, { minLength: 1, maxLength: 6 }).map((list) => list.join("."));
  fc.assert(fc.property(tokens, tokens, (one, other) => {
    const pattern = subjectPattern(exactSubject(one));
    assert.equal(natsMatches(pattern, other), one === other);
  }));
});

Deno.test("a dead letter's subject matches no subscription to rooms", () => {
  fc.assert(fc.property(id, id, (tenant, room) => {
    const subject = roomSubject("in", tenant, room);
    const kept = deadLetterSubject(subject);
    assert.equal(kept, `dlq.${subject}`);
    assert.equal(exactSubject(kept), kept);
    assert.equal(parseRoomSubject(kept), undefined);
  }));
});

Deno.test("a journal's subject parses back, and its tenant's pattern matches no other tenant", () => {
  fc.assert(fc.property(id, id, id, (tenantId, nodeId, other) => {
    const subject = blockSubject("journal", tenantId, nodeId);
    assert.deepEqual(parseBlockSubject(subject), { tenantId, nodeId });
    assert.ok(natsMatches(tenantBlocksPattern("journal", tenantId), subject));
    const is_same = other === tenantId;
    assert.equal(natsMatches(tenantBlocksPattern("journal", other), subject), is_same);
  }));
  fc.assert(fc.property(notId, (tenantId) => {
    assert.equal(reasonOf(() => blockSubject("journal", tenantId, "shield-1")), "tenant-mismatch");
    assert.equal(reasonOf(() => tenantBlocksPattern("journal", tenantId)), "tenant-mismatch");
    assert.throws(() => blockSubject("journal", "acme", tenantId), TypeError);
  }));
});

const tableOf = (...patterns: string[]) => compilePatterns(patterns.map((text) => [text, text]));

/** The meaning of a pattern in docs/governance.md#mirroring, as one regular expression. */
function plainly(pattern: string, subject: string): boolean {
  const escaped = pattern.replace(/[.$]/g, "\\$&");
  const open = escaped.endsWith(">")
    ? `${escaped.slice(0, -1)}.+`
    : escaped.endsWith("*")
    ? `${escaped.slice(0, -1)}.*`
    : escaped;
  const tail = open.endsWith(".*") && pattern.endsWith("*") ? 2 : 0;
  const head = tail === 0 ? open : open.slice(0, -2);
  return new RegExp(`^${head.replaceAll("*", "[^.]+")}${tail === 0 ? "" : ".*"}$`).test(subject);
}

Deno.test("a trailing star covers any remainder, tokens and beginnings of tokens alike", () => {
  const covers = (pattern: string, subject: string) =>
    tableOf(pattern).match(subject)?.value === pattern;
  for (
    const [pattern, subject, expected] of [
      ["in.t.default.*", "in.t.default.r.lobby", true],
      ["in.t.default.*", "in.t.default", false],
      ["in.t.default.*", "in.t.defaults.r.lobby", false],
      ["in.t.default.r.vehicles-*", "in.t.default.r.vehicles-7", true],
      ["in.t.default.r.vehicles-*", "in.t.default.r.vehicles-", true],
      ["in.t.default.r.vehicles-*", "in.t.default.r.vehicle", false],
      ["in.t.*.r.lobby", "in.t.acme.r.lobby", true],
      ["in.t.*.r.lobby", "in.t.acme.x.r.lobby", false],
      ["in.t.>", "in.t.acme.r.lobby", true],
      ["in.t.>", "in.t", false],
      ["*", "in.t.acme.r.lobby", true],
      ["in.t.acme.r.lobby", "in.t.acme.r.lobby", true],
      ["in.t.acme.r.lobby", "in.t.acme.r.lobby2", false],
    ] as const
  ) assert.equal(covers(pattern, subject), expected, `${pattern} ${subject}`);
});

Deno.test("the longest prefix wins, then more text, then exact before open", () => {
  const table = tableOf(
    "*",
    "in.t.*",
    "in.t.acme.*",
    "in.t.acme.>",
    "in.t.acme.r.a*",
    "in.t.acme.r.ab*",
    "in.t.acme.r.abc",
    "in.t.acme.r.abc*",
    "in.t.*.r.abc",
  );
  const winner = (subject: string) => table.match(subject)?.pattern;
  assert.equal(winner("in.t.acme.r.abc"), "in.t.acme.r.abc");
  assert.equal(winner("in.t.acme.r.abcd"), "in.t.acme.r.abc*");
  assert.equal(winner("in.t.acme.r.abd"), "in.t.acme.r.ab*");
  assert.equal(winner("in.t.acme.r.b"), "in.t.acme.>");
  assert.equal(winner("in.t.globex.r.abc"), "in.t.*.r.abc");
  assert.equal(winner("in.t.globex.r.x"), "in.t.*");
  assert.equal(winner("out.t.globex.r.x"), "*");
  assert.deepEqual(table.all("in.t.acme.r.abc").map(({ pattern }) => pattern), [
    "in.t.acme.r.abc",
    "in.t.acme.r.abc*",
    "in.t.acme.r.ab*",
    "in.t.acme.r.a*",
    "in.t.acme.>",
    "in.t.acme.*",
    "in.t.*.r.abc",
    "in.t.*",
    "*",
  ]);
});

Deno.test("of two equal patterns the later one applies, and the size is the number of patterns", () => {
  const table = compilePatterns([["a.*", 1], ["a.b", 2], ["a.*", 3]]);
  assert.equal(table.size, 2);
  assert.equal(table.match("a.c")?.value, 3);
  assert.equal(compilePatterns<number>([]).match("a"), undefined);
});

Deno.test("an invalid pattern is refused with the problem", () => {
  for (
    const [text, problem] of [
      ["", /empty token/],
      ["in..t", /empty token/],
      ["in.t.", /empty token/],
      ["in.t*x.r", /stands alone/],
      ["in.a*.r", /stands alone/],
      ["in.>.r", /last token/],
      ["in.t >", /last token/],
      ["in.t.a b", /character outside/],
      ["in.t.ü", /character outside/],
      ["x".repeat(257), /256 characters/],
      [Array(33).fill("a").join("."), /32 tokens/],
    ] as const
  ) {
    assert.match(patternProblem(text) ?? "", problem, text);
    assert.throws(() => tableOf(text), { name: "TypeError" });
  }
});

const token = fc.constantFrom("a", "b", "ab", "abc", "in");
const subject = fc.array(token, { minLength: 1, maxLength: 5 }).map((tokens) => tokens.join("."));
const pattern = fc.tuple(
  fc.array(fc.oneof({ weight: 4, arbitrary: token }, fc.constant("*")), { maxLength: 4 }),
  fc.oneof(token, fc.constantFrom("*", ">", "a*", "ab*")),
).map(([tokens, last]) => [...tokens, last].join("."));

Deno.test("any table finds the same as a linear search, the most specific first", () => {
  fc.assert(fc.property(fc.uniqueArray(pattern, { maxLength: 20 }), subject, (patterns, text) => {
    const table = tableOf(...patterns);
    const all = table.all(text);
    const expected = patterns.filter((one) => plainly(one, text));
    assert.deepEqual(all.map((match) => match.pattern).sort(), expected.sort());
    assert.deepEqual(all.toSorted(compareSpecificity), all);
    assert.deepEqual(table.match(text), all[0]);
    const backwards = tableOf(...patterns.toReversed());
    assert.equal(backwards.match(text)?.pattern, all[0]?.pattern, "the order is no matter");
  }));
});

Deno.test("a pattern can match below a prefix if it covers it or a part of it", () => {
  assert.ok(canMatchBelow("in.t.acme.*", "in.t."));
  assert.ok(canMatchBelow("*", "in.t."));
  assert.ok(canMatchBelow("i*", "in.t."));
  assert.ok(canMatchBelow("in.>", "in.t."));
  assert.ok(!canMatchBelow("out.t.acme.*", "in.t."));
  assert.ok(!canMatchBelow("in", "in.t."));
});
