/** Specific to the embedded engine: bounded queues in this process, and a locked `data_dir`. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { atEnd } from "../../testing/at_end.ts";
import { keptLog } from "../../testing/logs.ts";
import { temporaryFolder } from "../../testing/temporary_folder.ts";
import { until } from "../../testing/until.ts";
import { turnsDuring } from "../../testing/turns_during.ts";
import {
  bytes,
  collect,
  Collected,
  refusedWith,
  subject,
  text,
  within,
} from "../testing/conformance.ts";
import { type EmbeddedOptions, openEmbedded } from "./embedded.ts";
import type { Spine, SpineEvent } from "../contract/spine.ts";
import { roomSubject } from "../../subjects/subject.ts";
import { subjectPattern } from "../testing/subjects.ts";

const { log, lines } = keptLog({ level: "warn" });
const options: EmbeddedOptions = { now: Date.now, log };
const RETENTION = { history_size: 1, history_ttl_seconds: 60, replicas: undefined };

async function withFolder(run: (data_dir: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder();
  await run(`${folder.path}/data`);
}

async function withSpine(more: Partial<EmbeddedOptions>, run: (spine: Spine) => Promise<void>) {
  const spine = openEmbedded({ ...options, ...more });
  await using _end = atEnd(() => spine.drain());
  await run(spine);
}

Deno.test("a subscription that is too slow loses messages and gets one gap", async () => {
  await withSpine({ limits: { subscription_messages: 3 } }, async (spine) => {
    const events = new Collected<SpineEvent>();
    spine.onEvent(events.add);
    const slow = await collect(spine, subject("slow"));
    for (let n = 0; n < 10; n++) spine.publish(subject("slow"), bytes(String(n)));
    await within(spine.flush(), "the flush");
    const gap = { type: "gap", pattern: "slow", reason: "slow-consumer" };
    assert.deepEqual(slow.items.map((message) => text(message.payload)), ["0", "1", "2"]);
    assert.deepEqual(events.items, [gap]);
    assert.equal(spine.status.slow_consumers, 1);
    spine.publish(subject("slow"), bytes("again"));
    await slow.count(4);
    for (let n = 0; n < 4; n++) spine.publish(subject("slow"), bytes("x"));
    await within(spine.flush(), "the flush");
    assert.deepEqual(events.items, [gap, gap]);
    assert.ok(lines.some((line) => line.includes("too slow") && line.includes("pattern=slow")));
  });
});

Deno.test("bytes that wait for one subscription are bounded too", async () => {
  await withSpine({ limits: { subscription_bytes: 100 } }, async (spine) => {
    const slow = await collect(spine, subject("slow"));
    spine.publish(subject("slow"), new Uint8Array(60));
    spine.publish(subject("slow"), new Uint8Array(60));
    await within(spine.flush(), "the flush");
    assert.equal(slow.items.length, 1);
  });
});

Deno.test("publishing is refused while too many bytes wait in all", async () => {
  await withSpine({ limits: { pending_bytes: 100 } }, async (spine) => {
    const received = await collect(spine, subject("a"));
    spine.publish(subject("a"), new Uint8Array(60));
    assert.equal(spine.status.pending_bytes, 60);
    const more = () => spine.publish(subject("a"), new Uint8Array(60));
    assert.throws(more, refusedWith("spine-unavailable"));
    await within(spine.flush(), "the flush");
    more();
    await received.count(2);
  });
});

Deno.test("a tenant whose bytes wait leaves room for another's", async () => {
  await withSpine({ limits: { pending_bytes: 10_000 } }, async (spine) => {
    const received = await collect(spine, subjectPattern("in.t.*.r.*"));
    const publish = (tenant: string, size_bytes = 100) =>
      spine.publish(roomSubject("in", tenant, "hall"), new Uint8Array(size_bytes));
    const flood = () => {
      for (let sent = 0; sent < 1_000; sent++) publish("greedy");
    };
    assert.throws(flood, refusedWith("spine-unavailable"));
    publish("calm");
    await within(spine.flush(), "the flush");
    const names = received.items.map((message) => message.subject.split(".")[2]);
    assert.equal(names.at(-1), "calm");
    publish("greedy", 9_000);
  });
});

Deno.test("handlers that answer each other for ever leave turns to timers", async () => {
  await withSpine({}, async (spine) => {
    let rounds = 0;
    const stopped = Promise.withResolvers<void>();
    let stop = false;
    const echo = (to: string) => () => {
      rounds++;
      if (stop) stopped.resolve();
      else spine.publish(subject(to), bytes(""));
    };
    spine.subscribe(subject("ping"), echo("pong"));
    spine.subscribe(subject("pong"), echo("ping"));
    spine.publish(subject("ping"), bytes(""));
    await until("a timer after some rounds", () => rounds > 1);
    stop = true;
    await within(stopped.promise, "the last round");
  });
});

Deno.test("slow handlers do not hold the event loop for a whole batch", async () => {
  // A clock that jumps 10 ms with every reading: each delivery is slow.
  let clock_ms = 0;
  await withSpine({ monotonic_ms: () => clock_ms += 10 }, async (spine) => {
    const received = await collect(spine, subject("a"));
    for (let n = 0; n < 100; n++) spine.publish(subject("a"), bytes(""));
    let seen = -1;
    await within(
      new Promise<void>((resolve) =>
        setImmediate(() => {
          seen = received.items.length;
          resolve();
        })
      ),
      "a turn",
    );
    assert.ok(seen < 100, `${seen} deliveries in one turn`);
    await received.count(100);
  });
});

Deno.test("one publish reaches a hundred thousand rooms' worth of others at no cost", async () => {
  await withSpine({}, async (spine) => {
    let others = 0;
    for (let room = 0; room < 100_000; room++) {
      spine.subscribe(subject("in", `r${room}`), () => void others++);
    }
    const received = await collect(spine, subject("in", "r7"));
    for (let n = 0; n < 1_000; n++) spine.publish(subject("in", "r7"), bytes(String(n)));
    await received.count(1_000);
    assert.equal(others, 1_000);
  });
});

Deno.test("with data_dir values, revisions and deletions outlive the engine", async () => {
  await withFolder(async (data_dir) => {
    let last = 0;
    await withSpine({ data_dir }, async (spine) => {
      const bucket = await spine.keyValue("ROOMS");
      await bucket.put(["a", "kept"], bytes("1"));
      last = await bucket.put(["a", "gone"], bytes("2"));
      await bucket.delete(["a", "gone"]);
    });
    await withSpine({ data_dir }, async (spine) => {
      const bucket = await spine.keyValue("ROOMS");
      assert.equal(text((await bucket.get(["a", "kept"]))?.value ?? bytes("")), "1");
      assert.deepEqual(await bucket.keys(), [["a", "kept"]]);
      const next = await bucket.put(["a", "gone"], bytes("3"));
      assert.ok(next > last + 1, "the deletion's revision is not used again");
    });
  });
});

Deno.test("without data_dir nothing is stored", async () => {
  const streams = new Set<string>();
  for (let round = 0; round < 2; round++) {
    await withSpine({}, async (spine) => {
      const bucket = await spine.keyValue("ROOMS");
      assert.equal(await bucket.get(["a"]), undefined);
      await bucket.put(["a"], bytes("1"));
      const messages = await spine.log("acme", RETENTION);
      streams.add(messages.stream);
      assert.equal((await messages.append("a", bytes("1"))).offset, 1);
    });
  }
  assert.equal(streams.size, 2);
});

Deno.test("a second engine is refused data_dir until the first has closed", async () => {
  await withFolder(async (data_dir) => {
    const first = openEmbedded({ ...options, data_dir });
    const second = () => openEmbedded({ ...options, data_dir });
    assert.throws(second, refusedWith("spine-unavailable"));
    assert.throws(second, /data_dir .* is in use by another ArqonBus process/);
    await first.drain();
    await second().drain();
  });
});

Deno.test("another process is refused data_dir, and a killed one leaves no lock", async () => {
  await withFolder(async (data_dir) => {
    const engine = new URL("./embedded.ts", import.meta.url);
    const script = `
      import { openEmbedded } from ${JSON.stringify(engine.href)};
      const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
      try {
        const spine = openEmbedded({ log, now: Date.now, data_dir: ${JSON.stringify(data_dir)} });
        const bucket = await spine.keyValue("ROOMS");
        await bucket.put(["from"], new TextEncoder().encode("another process"));
        console.log("open");
        await new Promise(() => setInterval(() => {}, 60_000));
      } catch (error) {
        console.log(error.reason + ": " + error.message);
      }`;
    const folder = data_dir.slice(0, -"/data".length);
    const path = `${folder}/second.ts`;
    await Deno.writeTextFile(path, script);
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    const start = () =>
      new Deno.Command(Deno.execPath(), {
        args: [
          "run",
          "--quiet",
          "--no-check",
          "--config",
          config,
          "--allow-read",
          "--allow-write",
          path,
        ],
        stdout: "piped",
        stderr: "inherit",
      });
    const first = openEmbedded({ ...options, data_dir });
    const refused = await within(start().output(), "the second process");
    assert.match(new TextDecoder().decode(refused.stdout), /^spine-unavailable: .*is in use by/);
    await first.drain();

    const holder = start().spawn();
    const output = holder.stdout.getReader();
    const { value } = await within(output.read(), "the second process");
    assert.equal(text(value ?? bytes("")).trim(), "open");
    const open = () => openEmbedded({ ...options, data_dir });
    assert.throws(open, /is in use by another ArqonBus process/);
    holder.kill("SIGKILL");
    await holder.status;
    await output.cancel();
    const again = open();
    const entry = await (await again.keyValue("ROOMS")).get(["from"]);
    assert.equal(text(entry?.value ?? bytes("")), "another process");
    await again.drain();
  });
});

Deno.test("a data_dir that cannot be is refused with the reason", async () => {
  await withFolder(async (data_dir) => {
    await Deno.writeTextFile(data_dir, "a file, not a folder");
    const open = () => openEmbedded({ ...options, data_dir });
    assert.throws(open, refusedWith("spine-unavailable"));
    assert.throws(open, /data_dir .*\/data cannot be opened: spine\.sqlite: /);
  });
});

Deno.test("others have their turns while very many entries of a bucket are written, read and deleted one by one", async () => {
  // Each look at the clock takes 1 ms, however fast the machine is.
  let now_ms = 0;
  await withSpine({ monotonic_ms: () => now_ms++ }, async (spine) => {
    const bucket = await spine.keyValue("ROOMS");
    const keys = Array.from({ length: 300 }, (_, at) => [`r${at}`]);
    const each = async (act: (key: string[]) => Promise<unknown>) => {
      const { turns } = await turnsDuring(async () => {
        for (const key of keys) await act(key);
      });
      return turns > 2;
    };
    assert.ok(await each((key) => bucket.put(key, bytes("x"))), "puts");
    assert.ok(await each((key) => bucket.get(key)), "gets");
    assert.ok(await each((key) => bucket.delete(key)), "deletions");
    const messages = await spine.log("acme", RETENTION);
    assert.ok(await each(([room_id = ""]) => messages.head(room_id)), "heads");
  });
});
