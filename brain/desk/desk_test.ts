/** Commands on an embedded Spine: results, refusals, bounds. `race_test.ts` has races on NATS. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";
import { commandSubject } from "../../shared/subjects/subject.ts";
import { until } from "../../shared/testing/until.ts";
import { applyCommands } from "../rooms/commands/apply.ts";
import {
  accepted,
  commandEnvelope,
  refused,
  sendAtOnce,
  sendBytes,
  sendCommand,
} from "../rooms/testing/command_probe.ts";
import { withRooms } from "../rooms/testing/room_test_bed.ts";
import { overriding } from "../../shared/testing/overriding.ts";

const set = (key: string, value: unknown, more = {}) => ({
  name: "room.set",
  data: { key, value },
  ...more,
});

Deno.test("a value is read back, with a version that grows and an epoch that stays", async () => {
  await withRooms({}, async ({ spine, metric }) => {
    const first = await accepted(spine, set("topic", { text: "hi" }));
    assert.equal(first.version, 1);
    assert.match(first.epoch, /^[0-9a-z]{8,13}$/);
    const { epoch } = first;
    assert.deepEqual(await accepted(spine, set("n", [1, null])), { version: 2, epoch });
    assert.deepEqual(await accepted(spine, { name: "room.get", data: { key: "topic" } }), {
      version: 2,
      epoch,
      key: "topic",
      value: { text: "hi" },
      exists: true,
    });
    const state = { topic: { text: "hi" }, n: [1, null] };
    assert.deepEqual(await accepted(spine, { name: "room.get" }), { version: 2, epoch, state });
    assert.equal(await metric('brain_commands_total{name="room.set",code="0"}'), 2);
    assert.equal(await metric("brain_pending_commands"), 0);
    await until("it is shown", async () => await metric("brain_room_count") === 1);
  });
});

Deno.test("a command is understood without its room. prefix and its content type", async () => {
  await withRooms({}, async ({ spine }) => {
    await accepted(spine, { name: "set", data: { key: "k", value: 1 }, content_type: "" });
    const content_type = "application/json; charset=utf-8";
    const { value } = await accepted(spine, { name: "get", data: { key: "k" }, content_type });
    assert.equal(value, 1);
  });
});

Deno.test("numbers are returned as they were written", async () => {
  await withRooms({}, async ({ spine }) => {
    await accepted(spine, {
      name: "set",
      data: '{ "key": "k", "value": [ 9007199254740993, 1.0 ] }',
    });
    const { result } = await sendCommand(spine, { name: "get", data: { key: "k" } });
    assert.match(result, /"value":\[9007199254740993,1\.0\],/);
  });
});

Deno.test("rooms of the same name in two tenants have nothing in common", async () => {
  await withRooms({}, async ({ spine }) => {
    await accepted(spine, set("k", 1, { tenant: "acme" }));
    const { version } = await accepted(spine, { name: "get", tenant: "other" });
    assert.equal(version, 0);
  });
});

Deno.test("bytes that are no envelope, or one for another room, are refused", async () => {
  await withRooms({}, async ({ spine }) => {
    const broken = await sendBytes(spine, new Uint8Array([0xff, 0xff]));
    assert.equal(broken.code, 400);
    for (const elsewhere of [{ room: "other" }, { tenant: "other" }]) {
      const reply = await sendBytes(spine, commandEnvelope({ name: "get", ...elsewhere }));
      assert.equal(`${reply.code} ${reply.reason}`, "400 invalid-field");
    }
  });
});

Deno.test("a repeated command_id is answered once for its sender and again for another", async () => {
  await withRooms({}, async ({ spine }) => {
    const command = set("k", 1, { command_id: "c1" });
    const first = await accepted(spine, command);
    await accepted(spine, set("k", 2));
    assert.deepEqual(await accepted(spine, command), first);
    assert.equal((await accepted(spine, { name: "get", data: { key: "k" } })).value, 2);
    assert.equal((await accepted(spine, { ...command, sender: "u2" })).version, 3);
  });
});

Deno.test("a turn's commands share one compare-and-set", async () => {
  await withRooms({}, async ({ spine, bucket }) => {
    const all = Array.from({ length: 200 }, (_, index) => accepted(spine, set("k", index)));
    const versions = (await Promise.all(all)).map(({ version }) => version);
    assert.deepEqual(versions, Array.from({ length: 200 }, (_, index) => index + 1));
    const revision = (await bucket.get(["acme", "lobby"]))?.revision ?? 0;
    assert.ok(revision > 0 && revision < 20, `${revision} writes for 200 commands`);
  });
});

/** A bucket where another Brain's copy of the document lands before each of our first `times` writes. */
function contended(times: number): (bucket: KeyValue) => KeyValue {
  let left = times;
  return (bucket) =>
    overriding(bucket, {
      update: async (key, value, expected_revision) => {
        if (left-- > 0) await bucket.put(key, (await bucket.get(key))?.value ?? value);
        return bucket.update(key, value, expected_revision);
      },
    });
}

Deno.test("a lost race is run again from the newest document", async () => {
  await withRooms({ wrap: contended(5) }, async ({ spine, metric }) => {
    // The other Brain's document is a copy of our first write, so our own is the second.
    assert.equal((await accepted(spine, set("k", 1))).version, 2);
    assert.equal((await accepted(spine, set("k", 2, { expect_version: 2 }))).version, 3);
    assert.equal(await metric("brain_command_conflicts_total"), 5);
  });
});

Deno.test("a room whose compare-and-set always fails is 429, to be retried", async () => {
  // 64 attempts, whose pauses may take longer on a busy machine than the default time for a command.
  const config = { limits: { command_timeout_ms: 60_000 } };
  await withRooms({ wrap: contended(Infinity), config }, async ({ spine, metric }) => {
    const { code, reason, retry_after_ms } = await sendCommand(spine, set("k", 1));
    assert.equal(`${code} ${reason}`, "429 too-many-pending");
    assert.ok(retry_after_ms > 0);
    assert.equal(await metric("brain_command_conflicts_total"), 64);
  });
});

Deno.test("a command that arrives at the moment its room becomes idle is answered", async () => {
  await withRooms({}, async ({ handle }) => {
    const payload = commandEnvelope(set("k", 1));
    const subject = commandSubject("acme", "lobby");
    // The next command follows its answer by 0 to 19 microtasks: one of them is that moment.
    for (let gap = 0; gap < 20; gap++) {
      await new Promise<void>((answered) => {
        const send = (respond: () => void) =>
          handle({ subject, payload, headers: {}, reply: "r", respond });
        send(async () => {
          for (let turn = 0; turn < gap; turn++) await Promise.resolve();
          send(answered);
        });
      });
    }
  });
});

Deno.test("more commands than may wait for a room are 429, the others are served", async () => {
  await withRooms({ config: { brain: { pending_commands: 3 } } }, async ({ spine, handle }) => {
    const codes = await sendAtOnce(
      handle,
      Array.from({ length: 8 }, (_, index) => set("k", index)),
    );
    assert.deepEqual(codes, [0, 0, 0, 429, 429, 429, 429, 429]);
    assert.equal((await accepted(spine, { name: "get" })).version, 3);
  });
});

Deno.test("more bytes than a tenant's share in a Brain are 429, whatever their room", async () => {
  const config = { brain: { pending_bytes: 100_000 } };
  await withRooms({ config }, async ({ spine, handle, metric }) => {
    const all = Array.from(
      { length: 4 },
      (_, index) => set("k", "x".repeat(30_000), { room: `room-${index}` }),
    );
    const other = set("k", "x".repeat(30_000), { tenant: "other" });
    assert.deepEqual(await sendAtOnce(handle, [...all, other]), [0, 0, 429, 429, 0]);
    assert.equal(await metric("brain_pending_bytes"), 0);
    await accepted(spine, set("k", "x".repeat(30_000)));
  });
});

Deno.test("memory holds as many rooms as it may: idle ones make place, busy ones leave some to others", async () => {
  const config = { brain: { rooms_in_memory: 10 } };
  await withRooms({ config }, async ({ spine, handle, metric }) => {
    const rooms = Array.from({ length: 9 }, (_, at) => String.fromCharCode(97 + at));
    const together = [
      ...rooms.map((room) => set("k", 1, { room })),
      set("k", 1, { tenant: "other" }),
    ];
    const codes = await sendAtOnce(handle, together);
    assert.deepEqual(codes, [...Array(8).fill(0), 429, 0]);
    for (const room of [...rooms, "x"]) await accepted(spine, set("k", 2, { room }));
    await until("they are shown", async () => await metric("brain_room_count") === 11);
    assert.equal(await metric("brain_rooms_in_memory"), 10);
    assert.equal((await accepted(spine, { name: "get", room: "a" })).version, 2);
  });
});

Deno.test("a command whose caller no longer waits is not run", async () => {
  let clock_ms = 0;
  // Each reading of the clock is 3 s later: received at 3 s, checked again at 6 s or later.
  const now = () => clock_ms += 3_000;
  await withRooms(
    { now, monotonic_ms: now, config: { limits: { command_timeout_ms: 2_000 } } },
    async ({ spine, bucket }) => {
      assert.equal(await refused(spine, set("k", 1)), "408 command-timeout");
      assert.equal(await bucket.get(["acme", "lobby"]), undefined);
    },
  );
});

Deno.test("a handler that throws fails its own command and restarts that room alone", async () => {
  const apply: typeof applyCommands = (document, commands, context) => {
    if (commands.some((command) => command.kind === "set" && command.value === '"boom"')) {
      throw new TypeError("a bug");
    }
    return applyCommands(document, commands, context);
  };
  await withRooms({ apply }, async ({ spine, handle, metric, lines }) => {
    await accepted(spine, set("k", 0));
    const together = [1, "boom", 2, 3].map((value) => set("k", value));
    assert.deepEqual(await sendAtOnce(handle, together), [0, 500, 0, 0]);
    const { version, value } = await accepted(spine, { name: "get", data: { key: "k" } });
    assert.deepEqual({ version, value }, { version: 4, value: 3 });
    assert.equal(await metric("brain_room_restarts_total"), 1);
    assert.equal(await metric("brain_command_retries_total"), 4);
    assert.ok(lines.some((line) => /room=lobby.*a bug.*msg="room restarted"/.test(line)));
  });
});

Deno.test("a refusal with a code that a reducer chose is no failure of the Brain, and is not logged as one", async () => {
  const rejected = new ArqonError("call-rejected", "closed for today", { code: 503 });
  const call = { members: [], read: () => () => Promise.reject(rejected) };
  await withRooms({ own: { "room.call": call } }, async ({ spine, lines }) => {
    assert.equal(await refused(spine, { name: "call" }), "503 call-rejected");
    assert.deepEqual(lines.filter((line) => line.includes("level=error")), []);
  });
});

Deno.test("a damaged document is 500 for its room only, until it is repaired", async () => {
  await withRooms({}, async ({ spine, bucket, lines }) => {
    await accepted(spine, set("k", 1));
    const good = await bucket.get(["acme", "lobby"]);
    await bucket.put(["acme", "lobby"], new TextEncoder().encode("garbage"));
    assert.equal(await refused(spine, { name: "get" }), "500 internal");
    assert.equal(await refused(spine, set("k", 2)), "500 internal");
    assert.ok(
      lines.some((line) => /level=error .*acme\.r\.lobby.*msg="command failed"/.test(line)),
    );
    await accepted(spine, set("k", 1, { room: "other" }));
    await bucket.put(["acme", "lobby"], good?.value ?? new Uint8Array());
    assert.equal((await accepted(spine, { name: "get" })).version, 1);
  });
});
