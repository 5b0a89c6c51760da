/** Commands that leave the Shield, their headers, and bans for messages and commands. Brains run commands. */
import assert from "node:assert/strict";
import { ArqonError, scanEnvelope, writeAck, writeEnvelope } from "@arqon/proto";
import { ALL_COMMANDS } from "../../shared/subjects/subject.ts";
import { ORIGIN_HEADER } from "../../shared/records/caller_headers.ts";
import { runCommand } from "./command.ts";
import type { Grant, Identity, Role } from "../auth/identity.ts";
import { type MessagePath, publish } from "./pipeline.ts";
import { PLAIN_ROOMS } from "../durable/log/logs.ts";
import { callerOf, LIMITS, plainPath } from "./testing/path.ts";
import { banOf, putBan, testBans } from "../auth/testing/bans.ts";
import { ann } from "../auth/testing/identity.ts";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { configClasses } from "../settings/testing/room_classes.ts";
import { listenToAll, testSpine } from "../testing/spine.ts";
import { NO_POLICIES } from "./gates.ts";

interface MoreOptions extends Pick<MessagePath, "commands" | "quota"> {
  readonly command_id?: string;
}

/** A path on a fresh engine with real bans, and a Brain that accepts every command. */
async function testPath(
  overseer: MessagePath["overseer"] = NO_POLICIES,
  classes = PLAIN_ROOMS.classes,
) {
  const engine = testSpine();
  const { spine } = engine;
  const bans = await testBans(spine);
  await bans.bans.ready;
  const published = listenToAll(spine);
  spine.subscribe(ALL_COMMANDS, ({ respond }) => respond(writeAck({ code: 0 })));
  const actions = {
    "presence.list": "presence",
    "presence.count": "presence",
    values: "subscribe",
    "room.values": "subscribe",
    "room.module": "subscribe",
  } as const;
  const path = plainPath(spine, { overseer, bans: bans.bans, classes, actions });
  const run = (name: string, identity = ann, origin?: string, more: MoreOptions = {}) =>
    runCommand(
      {
        path: { ...path, commands: more.commands, quota: more.quota },
        limits: { command_timeout_ms: 10_000 },
        own: () => undefined,
      },
      callerOf(identity),
      scanEnvelope(
        writeEnvelope({
          room_id: "lobby",
          request_id: 7,
          command: { name, command_id: more.command_id ?? "" },
        }),
        LIMITS,
      ),
      origin,
    );
  const send = async (room_id = "lobby") => {
    const envelope = scanEnvelope(writeEnvelope({ room_id, event: { type: "chat" } }), LIMITS);
    await publish(path, { caller: callerOf(ann), origin: undefined }, envelope);
  };
  const ban = async (change: Parameters<typeof banOf>[0]) => {
    await putBan(bans.bucket, "acme", banOf(change));
    await bans.arrived.count(1);
  };
  const commands = () => published.filter(({ subject }) => subject.endsWith(".cmds"));
  return {
    run,
    send,
    ban,
    commands,
    published,
    async [Symbol.asyncDispose]() {
      bans[Symbol.dispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a command has its connection for the Brain; one without a connection has none", async () => {
  await using path = await testPath();
  assert.equal((await path.run("room.get", ann, "c1")).request_id, 7);
  await path.run("room.get");
  const origins = path.commands().map(({ headers }) => headers[ORIGIN_HEADER]);
  assert.deepEqual(origins, ["c1", undefined]);
});

Deno.test("a command that reads what subscribers receive asks the policies of subscribers", async () => {
  const refused = () => Promise.reject(new ArqonError("policy-rejected"));
  await using path = await testPath({ ...NO_POLICIES, onSubscribe: refused });
  for (const name of ["room.values", "values", "room.module"]) {
    await assert.rejects(path.run(name), { reason: "policy-rejected" }, name);
  }
  assert.equal((await path.run("room.get")).code, 0);
  assert.equal(path.commands().length, 1);
});

Deno.test("a tenant with an exhausted budget or quota can still kick and ban", async () => {
  await using path = await testPath();
  const quota: MessagePath["quota"] = {
    take() {
      throw new ArqonError("budget-exhausted");
    },
  };
  const service: Identity = { ...ann, role: "service" };
  for (const name of ["room.kick", "kick", "room.ban", "room.unban", "room.bans"]) {
    assert.equal((await path.run(name, service, undefined, { quota })).code, 0, name);
  }
  const other = path.run("room.set", service, undefined, { quota });
  await assert.rejects(other, { reason: "budget-exhausted" });
});

Deno.test("a command may be retried only if it has an id", async () => {
  await using path = await testPath();
  const may: boolean[] = [];
  const commands: MoreOptions["commands"] = {
    request: (_subject, _payload, _options, has_id) => {
      may.push(has_id);
      return Promise.reject(new ArqonError("brain-unavailable"));
    },
  };
  for (const command_id of ["", "once"]) {
    const pending = path.run("room.set", ann, undefined, { commands, command_id });
    await assert.rejects(pending, { reason: "brain-unavailable" });
  }
  assert.deepEqual([may, path.commands()], [[false, true], []]);
});

Deno.test("kick, ban, unban and the list of bans are for services and admins, with and without their prefix", async () => {
  await using path = await testPath();
  const names = ["kick", "ban", "unban", "bans"];
  for (const name of names.flatMap((name) => [name, `room.${name}`])) {
    await assert.rejects(path.run(name), {
      reason: "command-forbidden",
      code: 403,
      message: `Command forbidden: ${name}`,
    });
    for (const role of ["service", "admin"] satisfies Role[]) {
      await path.run(name, { ...ann, role });
    }
  }
  assert.equal(path.commands().length, 16);
  for (const name of ["room.get", "lock", "kicks", "presence.kick"]) await path.run(name);
});

Deno.test("presence commands need the grant `presence`, all others `command`", async () => {
  await using path = await testPath();
  const granted = (action: Grant["actions"][number]): Identity => (
    { ...ann, grants: [{ room: "lobby", actions: [action] }] }
  );
  for (const name of ["presence.list", "presence.count"]) {
    await path.run(name, granted("presence"));
    await assert.rejects(path.run(name, granted("command")), {
      reason: "not-granted",
      message: "Not granted: presence in lobby",
    });
  }
  for (const name of ["room.get", "presence"]) {
    await path.run(name, granted("command"));
    await assert.rejects(path.run(name, granted("presence")), { reason: "not-granted" });
  }
});

Deno.test("a user banned from a room can publish and command only in other rooms", async () => {
  await using path = await testPath();
  await path.ban({ room_id: "lobby" });
  const before = path.published.length;
  const refusal = { reason: "room-banned", code: 403 };
  await assert.rejects(path.run("room.get"), refusal);
  await assert.rejects(path.send(), refusal);
  assert.equal(path.published.length, before);
  await path.send("other");
});

for (const what of ["message", "command"] as const) {
  Deno.test(`a ban that arrives while policies judge a ${what} stops it`, async () => {
    const asked = Promise.withResolvers<void>();
    const verdict = Promise.withResolvers<[]>();
    await using path = await testPath({
      ...NO_POLICIES,
      onMessage: () => {
        asked.resolve();
        return verdict.promise;
      },
    });
    const refused = assert.rejects(what === "message" ? path.send() : path.run("room.get"), {
      reason: "banned",
      code: 403,
    });
    await asked.promise;
    await path.ban({});
    const before = path.published.length;
    verdict.resolve([]);
    await refused;
    assert.equal(path.published.length, before);
  });
}

Deno.test("the members of a room without presence are shown to nobody; its other commands work", async () => {
  const classes = new RoomClasses(configClasses({ room: "lobby", presence: false }));
  await using path = await testPath(NO_POLICIES, classes);
  for (const name of ["presence.list", "presence.count"]) {
    await assert.rejects(path.run(name), { reason: "presence-disabled", code: 403 });
  }
  await path.run("room.get");
  assert.equal(path.commands().length, 1);
});
