/** The command desk on an embedded Spine: results, refusals, bounds. Races on NATS: `race_test.ts`. */
import assert from "node:assert/strict";
import { createLogger } from "../../shared/log.ts";
import { createMetrics } from "../../shared/metrics.ts";
import { openEmbedded } from "../../shared/spine/embedded.ts";
import type { KeyValue, Spine } from "../../shared/spine/spine.ts";
import { ALL_COMMANDS, commandSubject } from "../../shared/subject.ts";
import { createBrainMetrics } from "../metrics.ts";
import { accepted, commandEnvelope, refused, sendBytes, sendCommand } from "./command_probe.ts";
import { createCommandDesk } from "./commands.ts";
import type { CommandLimits } from "./commands.ts";

const LIMITS: CommandLimits = {
  state_bytes: 262_144,
  key_bytes: 256,
  pending_commands: 1_024,
  pending_bytes: 16_777_216,
  rooms_in_memory: 10_000,
  command_timeout_ms: 5_000,
};

interface Stand {
  readonly spine: Spine;
  readonly bucket: KeyValue;
  readonly lines: string[];
  metric(line: string): Promise<boolean>;
}

interface StandOptions {
  limits?: Partial<CommandLimits>;
  now?: () => number;
  /** What the desk gets in place of the bucket itself. */
  wrap?: (bucket: KeyValue) => KeyValue;
}

/** A desk on an embedded Spine, for as long as `body` runs. */
async function withDesk(options: StandOptions, body: (stand: Stand) => Promise<void>) {
  const lines: string[] = [];
  const now = options.now ?? Date.now;
  const write = (line: string) => void lines.push(line);
  const log = createLogger({ level: "debug", format: "logfmt", component: "brain", now, write });
  const spine = openEmbedded({ log, now: Date.now });
  const registry = createMetrics({ node_id: "b1", version: "0" });
  try {
    const bucket = await spine.keyValue("ARQON_ROOMS");
    const desk = createCommandDesk({
      bucket: options.wrap?.(bucket) ?? bucket,
      limits: { ...LIMITS, ...options.limits },
      metrics: createBrainMetrics(registry),
      log,
      now,
      random: () => 0,
    });
    spine.subscribe(ALL_COMMANDS, desk.handle, { queue: "brain" });
    const metric = async (line: string) => (await registry.metrics()).split("\n").includes(line);
    await body({ spine, bucket, lines, metric });
    await desk.settled();
  } finally {
    await spine.drain();
  }
}

const set = (key: string, value: unknown, more = {}) => ({
  name: "room.set",
  data: { key, value },
  ...more,
});

Deno.test("what was set is read back, with a version that counts and an epoch that stays", async () => {
  await withDesk({}, async ({ spine, metric }) => {
    const first = await accepted(spine, set("topic", { text: "hi" }));
    assert.equal(first.version, 1);
    assert.match(first.epoch, /^[1-9][0-9]*$/);
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
    assert.ok(await metric('brain_commands_total{name="room.set",code="0"} 2'));
    assert.ok(await metric("brain_pending_commands 0"));
    assert.ok(await metric("brain_room_count 1"));
  });
});

Deno.test("a command is understood without its room. prefix and its content type", async () => {
  await withDesk({}, async ({ spine }) => {
    await accepted(spine, { name: "set", data: { key: "k", value: 1 }, content_type: "" });
    const content_type = "application/json; charset=utf-8";
    const { value } = await accepted(spine, { name: "get", data: { key: "k" }, content_type });
    assert.equal(value, 1);
  });
});

Deno.test("numbers come out as they were written", async () => {
  await withDesk({}, async ({ spine }) => {
    await accepted(spine, {
      name: "set",
      data: '{ "key": "k", "value": [ 9007199254740993, 1.0 ] }',
    });
    const { result } = await sendCommand(spine, { name: "get", data: { key: "k" } });
    assert.match(result, /"value":\[9007199254740993,1\.0\],/);
  });
});

Deno.test("rooms of the same name in two tenants have nothing in common", async () => {
  await withDesk({}, async ({ spine }) => {
    await accepted(spine, set("k", 1, { tenant: "acme" }));
    const { version } = await accepted(spine, { name: "get", tenant: "other" });
    assert.equal(version, 0);
  });
});

Deno.test("a command that makes no sense is refused with what is wrong", async () => {
  const bad: Record<string, Parameters<typeof sendCommand>[1]> = {
    'unknown name "room.explode"': { name: "room.explode" },
    'unknown name "room.room.get"': { name: "room.room.get" },
    "data must be one JSON object": { name: "set", data: "{" },
    "names no member twice": { name: "set", data: '{"key":"a","key":"b","value":1}' },
    "in UTF-8": { name: "set", data: new Uint8Array([0x7b, 0xff, 0x7d]) },
    'data has "extra"': { name: "set", data: { key: "k", value: 1, extra: 1 } },
    'data has "value"; room.get': { name: "get", data: { key: "k", value: 1 } },
    'room.set needs {"key":…,"value":…}': { name: "set", data: { key: "k" } },
    "room.set needs": { name: "set" },
    '"key" must be a string of 1 to 256 bytes': { name: "get", data: { key: 7 } },
    '"key" must': { name: "set", data: { key: "", value: 1 } },
    '"key" must be': { name: "set", data: { key: "é".repeat(129), value: 1 } },
    'application/json, not "text/plain"': { name: "get", data: "{}", content_type: "text/plain" },
    "fence: the room has no lock": { name: "set", data: { key: "k", value: 1 }, fence: 3 },
  };
  await withDesk({}, async ({ spine, metric }) => {
    for (const [text, command] of Object.entries(bad)) {
      const { code, reason, message } = await sendCommand(spine, command);
      assert.equal(`${code} ${reason}`, "400 invalid-command", text);
      assert.ok(message.includes(text), `${message} should say: ${text}`);
    }
    assert.ok(await metric('brain_commands_total{name="unknown",code="400"} 2'));
    assert.equal((await accepted(spine, { name: "get" })).version, 0, "nothing was written");
  });
});

Deno.test("bytes that are no envelope, or one for another room, are refused", async () => {
  await withDesk({}, async ({ spine }) => {
    const broken = await sendBytes(spine, new Uint8Array([0xff, 0xff]));
    assert.equal(broken.code, 400);
    for (const elsewhere of [{ room: "other" }, { tenant: "other" }]) {
      const reply = await sendBytes(spine, commandEnvelope({ name: "get", ...elsewhere }));
      assert.equal(`${reply.code} ${reply.reason}`, "400 invalid-field");
    }
  });
});

Deno.test("a repeated command_id is answered once for its sender and anew for another", async () => {
  await withDesk({}, async ({ spine }) => {
    const command = set("k", 1, { command_id: "c1" });
    const first = await accepted(spine, command);
    await accepted(spine, set("k", 2));
    assert.deepEqual(await accepted(spine, command), first);
    assert.equal((await accepted(spine, { name: "get", data: { key: "k" } })).value, 2);
    assert.equal((await accepted(spine, { ...command, sender: "u2" })).version, 3);
  });
});

Deno.test("of many that expect the same version exactly one wins", async () => {
  await withDesk({}, async ({ spine }) => {
    await accepted(spine, set("k", "base"));
    const racers = Array.from(
      { length: 20 },
      (_, index) => sendCommand(spine, set("k", index, { expect_version: 1 })),
    );
    const codes = (await Promise.all(racers)).map(({ code }) => code).sort();
    assert.deepEqual(codes, [0, ...Array(19).fill(409)]);
  });
});

Deno.test("a turn's commands share one compare-and-set", async () => {
  await withDesk({}, async ({ spine, bucket }) => {
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
  return (bucket) => ({
    get: (key) => bucket.get(key),
    put: (key, value) => bucket.put(key, value),
    update: async (key, value, expected_revision) => {
      if (left-- > 0) await bucket.put(key, (await bucket.get(key))?.value ?? value);
      return bucket.update(key, value, expected_revision);
    },
    delete: (key, expected_revision) => bucket.delete(key, expected_revision),
    keys: (prefix) => bucket.keys(prefix),
    watch: (prefix, onChange) => bucket.watch(prefix, onChange),
  });
}

Deno.test("a lost race is run again from the newest document", async () => {
  await withDesk({ wrap: contended(5) }, async ({ spine, metric }) => {
    // The other Brain's document is a copy of our first write, so our own is the second.
    assert.equal((await accepted(spine, set("k", 1))).version, 2);
    assert.equal((await accepted(spine, set("k", 2, { expect_version: 2 }))).version, 3);
    assert.ok(await metric("brain_command_conflicts_total 5"));
  });
});

Deno.test("a room whose races are all lost is 429, to be tried again", async () => {
  await withDesk({ wrap: contended(Infinity) }, async ({ spine, metric }) => {
    const { code, reason, retry_after_ms } = await sendCommand(spine, set("k", 1));
    assert.equal(`${code} ${reason}`, "429 too-many-pending");
    assert.ok(retry_after_ms > 0);
    assert.ok(await metric("brain_command_conflicts_total 64"));
  });
});

Deno.test("a command that comes at the moment its room falls idle is answered", async () => {
  await withDesk({}, async ({ bucket }) => {
    const log = createLogger({
      level: "error",
      format: "logfmt",
      component: "brain",
      now: Date.now,
      write: () => {},
    });
    const metrics = createBrainMetrics(createMetrics({ node_id: "b2", version: "0" }));
    const options = { bucket, limits: LIMITS, metrics, log, now: Date.now, random: () => 0 };
    const desk = createCommandDesk(options);
    const payload = commandEnvelope(set("k", 1));
    const subject = commandSubject("acme", "lobby");
    // The next command follows its answer by 0 to 19 microtasks: one of them is that moment.
    for (let gap = 0; gap < 20; gap++) {
      await new Promise<void>((answered) => {
        const send = (respond: () => void) =>
          desk.handle({ subject, payload, headers: {}, reply: "r", respond });
        send(async () => {
          for (let turn = 0; turn < gap; turn++) await Promise.resolve();
          send(answered);
        });
      });
    }
    await desk.settled();
  });
});

Deno.test("more commands than may wait for a room are 429, the others are served", async () => {
  await withDesk({ limits: { pending_commands: 3 } }, async ({ spine }) => {
    const all = Array.from({ length: 8 }, (_, index) => sendCommand(spine, set("k", index)));
    const codes = (await Promise.all(all)).map(({ code }) => code);
    assert.deepEqual(codes, [0, 0, 0, 429, 429, 429, 429, 429]);
    assert.equal((await accepted(spine, { name: "get" })).version, 3);
  });
});

Deno.test("more bytes than may wait in a Brain are 429, whatever their room", async () => {
  await withDesk({ limits: { pending_bytes: 10_000 } }, async ({ spine, metric }) => {
    const all = Array.from({ length: 4 }, (_, index) => {
      return sendCommand(spine, set("k", "x".repeat(4_000), { room: `room-${index}` }));
    });
    assert.deepEqual((await Promise.all(all)).map(({ code }) => code), [0, 0, 429, 429]);
    assert.ok(await metric("brain_pending_bytes 0"));
    await accepted(spine, set("k", "x".repeat(4_000)));
  });
});

Deno.test("memory holds as many rooms as it may: idle ones make place, busy ones do not", async () => {
  await withDesk({ limits: { rooms_in_memory: 2 } }, async ({ spine, metric }) => {
    const rooms = ["a", "b", "c"];
    const together = rooms.map((room) => sendCommand(spine, set("k", 1, { room })));
    assert.deepEqual((await Promise.all(together)).map(({ code }) => code), [0, 0, 429]);
    for (const room of rooms) await accepted(spine, set("k", 2, { room }));
    assert.ok(await metric("brain_room_count 2"));
    assert.equal((await accepted(spine, { name: "get", room: "a" })).version, 2);
  });
});

Deno.test("a command that nobody waits for any more is not run", async () => {
  let clock_ms = 0;
  // Every look at the clock is 3 s later: received at 3 s, looked at again at 6 s or later.
  const now = () => clock_ms += 3_000;
  await withDesk({ now, limits: { command_timeout_ms: 2_000 } }, async ({ spine, bucket }) => {
    assert.equal(await refused(spine, set("k", 1)), "408 command-timeout");
    assert.equal(await bucket.get(["acme", "lobby"]), undefined);
  });
});

Deno.test("a state that would grow too large is 413 and stays as it was", async () => {
  await withDesk({ limits: { state_bytes: 100 } }, async ({ spine }) => {
    await accepted(spine, set("k", "small"));
    assert.equal(await refused(spine, set("k", "x".repeat(100))), "413 message-too-large");
    assert.equal((await accepted(spine, { name: "get", data: { key: "k" } })).value, "small");
  });
});

Deno.test("a damaged document is 500 for its room alone, until it is repaired", async () => {
  await withDesk({}, async ({ spine, bucket, lines }) => {
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
