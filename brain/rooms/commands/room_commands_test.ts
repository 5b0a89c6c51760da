/** From envelopes to commands: what is accepted, and refusals that name what would be right. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { banKey, EVERY_ROOM } from "../../../shared/records/bans.ts";
import type { KvKey } from "../../../shared/spine/contract/spine.ts";
import { commandName, readCommandEnvelope, readRequest } from "../../desk/request.ts";
import type { OwnCommands, Request } from "../../desk/request.ts";
import { banCommands } from "../ban_book.ts";
import { commandEnvelope } from "../testing/command_probe.ts";
import type { ProbeCommand } from "../testing/command_probe.ts";
import type { RoomCommand } from "./command.ts";
import { type RequestLimits, roomCommands } from "./room_commands.ts";

const AT = { tenant_id: "acme", room_id: "lobby" };
const LIMITS: RequestLimits = {
  key_bytes: 256,
  lock_ttl_ms: 30_000,
  lock_ttl_max_ms: 600_000,
};

const NO_WAIT = { deadline_ms: 0, headers: {} };
const bans = Array.from({ length: 300 }, (_, at) => ({
  key: banKey("acme", at < 150 ? EVERY_ROOM : "lobby", `u${at}`),
  until_ms: 0,
  revision: 1,
}));
const bucket = {
  get: (key: KvKey) => Promise.resolve({ key, value: new Uint8Array([1]), revision: 1 }),
};
const OWN: OwnCommands = {
  ...banCommands({ bucket, standing: () => bans }, 1_000_000, () => 1),
  "words.count": { members: ["after"], read: ({ members }) => () => members.get("after") ?? "0" },
};

/** The request, and the room's command if it is one. */
function read(
  command: ProbeCommand,
  limits = LIMITS,
  own = OWN,
): Request & { readonly command?: RoomCommand } {
  let read: RoomCommand | undefined;
  const rooms = roomCommands(limits, (command) => {
    read = command;
    return () => "";
  });
  const envelope = readCommandEnvelope(commandEnvelope(command), AT);
  const all = { ...rooms, ...own };
  const request = readRequest(envelope, commandName(envelope.command.name, all), "c1", all);
  return read === undefined ? request : { ...request, command: read };
}

/** The parts of the command that differ from one without options. */
function parts(command: ProbeCommand): Record<string, unknown> {
  const { command: room } = read(command);
  assert.ok(room !== undefined);
  const { from, expect_version, after_version, epoch, fence, command_key, ...rest } = room;
  assert.equal(from.user_id, "u1");
  assert.equal(from.connection_id, "c1");
  assert.deepEqual([expect_version, after_version, fence, epoch], [0, 0, 0, ""]);
  assert.equal(command_key, undefined);
  return rest;
}

Deno.test("every command is read with its members and defaults", () => {
  const cases: [ProbeCommand, Record<string, unknown>][] = [
    [{ name: "get" }, { kind: "get", key: undefined, events_after: undefined }],
    [{ name: "room.get", data: { key: "k", events_after: 0 } }, {
      kind: "get",
      key: "k",
      events_after: 0,
    }],
    [{ name: "set", data: '{"key":"k","value": 1.0 }' }, { kind: "set", key: "k", value: "1.0" }],
    [{ name: "delete", data: { key: "k" } }, { kind: "delete", key: "k" }],
    [{ name: "lock" }, { kind: "lock", ttl_ms: 30_000 }],
    [{ name: "lock", data: { ttl_ms: 600_000 } }, { kind: "lock", ttl_ms: 600_000 }],
    [{ name: "unlock", data: {} }, { kind: "unlock" }],
    [{ name: "kick", data: { user_id: "u2", reason: "spam" } }, {
      kind: "kick",
      target_kind: "user",
      target: "u2",
      reason: "spam",
    }],
    [{ name: "kick", data: { connection_id: "c2" } }, {
      kind: "kick",
      target_kind: "connection",
      target: "c2",
      reason: "",
    }],
    [{ name: "ban", data: { user_id: "u2" } }, {
      kind: "ban",
      user_id: "u2",
      reason: "",
      ttl_ms: undefined,
      scope: "tenant",
    }],
    [{ name: "room.ban", data: { user_id: "u2", ttl_ms: 1, scope: "room" } }, {
      kind: "ban",
      user_id: "u2",
      reason: "",
      ttl_ms: 1,
      scope: "room",
    }],
    [{ name: "unban", data: { user_id: "u2" } }, { kind: "unban", user_id: "u2", scope: "tenant" }],
  ];
  for (const [command, expected] of cases) assert.deepEqual(parts(command), expected);
});

Deno.test("a value that many readers abandon is refused", () => {
  const data = (levels: number) => `{"key":"k","value":${"[".repeat(levels)}${"]".repeat(levels)}}`;
  assert.equal(parts({ name: "set", data: data(96) }).kind, "set");
  const refused = { reason: "invalid-command", message: /"value" is nested more than 96 levels/ };
  assert.throws(() => read({ name: "set", data: data(97) }), refused);
});

Deno.test("a command of a capability is read by the capability", async () => {
  const request = read({ name: "words.count", data: { after: 7 } });
  assert.ok(!request.is_anywhere);
  assert.equal(await request.answer(AT, NO_WAIT), "7");
  const bad = { reason: "invalid-command", message: /words.count knows "after"/ };
  assert.throws(() => read({ name: "words.count", data: { from: 7 } }), bad);
  assert.equal(commandName("count", OWN), undefined, "room.count is no command");
});

Deno.test("a ban query has a scope, a limit and a cursor", async () => {
  const listed = async (command: ProbeCommand): Promise<string[]> => {
    const request = read(command);
    assert.ok(!request.is_anywhere);
    const { bans } = JSON.parse(await request.answer(AT, NO_WAIT));
    return bans.map(({ scope, user_id }: Record<string, string>) => `${scope} ${user_id}`);
  };
  const first = await listed({ name: "bans" });
  assert.deepEqual([first.length, first[0]], [100, "tenant u0"]);
  const data = { scope: "room", limit: 2, after: "lobby/u298" };
  assert.deepEqual(await listed({ name: "room.bans", data }), ["room u299"]);
});

Deno.test("a lifted ban is neither listed nor counted, before the Brain has received the change", async () => {
  const source = {
    bucket: { get: () => Promise.resolve(undefined) },
    standing: () => bans.slice(0, 1),
  };
  const request = read({ name: "bans" }, LIMITS, banCommands(source, 1_000, () => 1));
  assert.equal(await request.answer(AT, NO_WAIT), '{"bans":[],"count":0}');
});

Deno.test("a lock without a lease gets at most the allowed one", () => {
  const { command } = read({ name: "lock" }, { ...LIMITS, lock_ttl_max_ms: 10_000 });
  assert.ok(command?.kind === "lock");
  assert.equal(command.ttl_ms, 10_000);
});

Deno.test("an invalid command is refused with the reason", () => {
  const bad: Record<string, ProbeCommand> = {
    'unknown name "room.explode"; this Brain serves room.get, room.set, room.delete, room.lock': {
      name: "room.explode",
    },
    'unknown name "room.room.get"': { name: "room.room.get" },
    'unknown name "toString"': { name: "toString" },
    "data must be one JSON object": { name: "set", data: "{" },
    "at most 32 members": {
      name: "set",
      data: Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`m${at}`, at])),
    },
    "names no member twice": { name: "set", data: '{"key":"a","key":"b","value":1}' },
    "in UTF-8": { name: "set", data: new Uint8Array([0x7b, 0xff, 0x7d]) },
    'data has "extra"': { name: "set", data: { key: "k", value: 1, extra: 1 } },
    'data has "value"; room.get knows "key" and "events_after"': {
      name: "get",
      data: { key: "k", value: 1 },
    },
    'data has "ttl_ms"; room.unlock knows no member': { name: "unlock", data: { ttl_ms: 1 } },
    'room.set needs {"key":…,"value":…}': { name: "set", data: { key: "k" } },
    "room.set needs": { name: "set" },
    'room.delete needs {"key":…}': { name: "delete" },
    '"key" must be a string of 1 to 256 bytes': { name: "get", data: { key: 7 } },
    '"key" must': { name: "set", data: { key: "", value: 1 } },
    '"key" must be': { name: "set", data: { key: "é".repeat(129), value: 1 } },
    '"events_after" must be a whole number from 0': { name: "get", data: { events_after: -1 } },
    'application/json, not "text/plain"': { name: "get", data: "{}", content_type: "text/plain" },
    '"ttl_ms" must be a whole number from 1 to 600000': { name: "lock", data: { ttl_ms: 600_001 } },
    '"ttl_ms" must be a whole number from 1 to 600': { name: "lock", data: { ttl_ms: 1.5 } },
    '"ttl_ms" must be a whole number from 1': { name: "ban", data: { user_id: "u", ttl_ms: "1" } },
    'room.ban needs {"user_id":…}': { name: "ban" },
    'room.unban needs {"user_id":…}': { name: "unban", data: { scope: "room" } },
    '"user_id" must be a string of 1 to 128 bytes': {
      name: "ban",
      data: { user_id: "x".repeat(129) },
    },
    '"user_id" must be well-formed': { name: "ban", data: '{"user_id":"\\ud800"}' },
    '"scope" must be "tenant" or "room"': { name: "ban", data: { user_id: "u", scope: "all" } },
    '"reason" must be a string of at most 256': {
      name: "ban",
      data: { user_id: "u", reason: "x".repeat(257) },
    },
    'room.kick needs either {"user_id":…} or {"connection_id":…}': { name: "kick" },
    "room.kick needs either": { name: "kick", data: { user_id: "u", connection_id: "c" } },
    '"connection_id" must be 1 to 64 of': { name: "kick", data: { connection_id: "a b" } },
    "room.bans takes neither versions nor a fence": { name: "bans", fence: 3 },
    'data has "user_id"; room.bans knows': { name: "bans", data: { user_id: "u" } },
    '"limit" must be a whole number from 1 to': { name: "bans", data: { limit: 1_001 } },
    '"scope" must be "tenant" or': { name: "bans", data: { scope: "all" } },
  };
  for (const [text, command] of Object.entries(bad)) {
    assert.throws(() => read(command), (error) => {
      assert.ok(error instanceof ArqonError, String(error));
      assert.equal(`${error.code} ${error.reason}`, "400 invalid-command", text);
      assert.ok(error.message.includes(text), `${error.message} should say: ${text}`);
      return true;
    });
  }
});
