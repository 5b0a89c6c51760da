/** Properties of the subject builders: a built subject parses back, and no other text parses. */
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
  parseBlockSubject,
  parseRoomSubject,
  roomSubject,
  tapSubject,
  tenantBlocksPattern,
} from "./subject.ts";
import { exactSubject, subjectPattern } from "../spine/testing/subjects.ts";

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
