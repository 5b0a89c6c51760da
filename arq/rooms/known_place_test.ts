/**
 * Places of before a restart of an embedded bus, and of an older copy that was put back: what `arq room
 * history`, `arq room replay` and `arq sub` make of them is the same.
 */
import assert from "node:assert/strict";
import { startBus } from "../../tests/harness/bus.ts";
import type { TestBus } from "../../tests/harness/bus.ts";
import { runArq } from "../testing/run_arq.ts";

const ROOM = "durable-places";
const TARGET = "durable-target";

interface Place {
  readonly offset: number;
  readonly epoch: string;
}

async function arq(bus: TestBus, args: readonly string[], stdin?: string) {
  const all = [...args, "--url", bus.url, "--token", await bus.tokenFor({ role: "service" })];
  return await runArq(all, stdin === undefined ? {} : { stdin });
}

async function done(bus: TestBus, args: readonly string[], stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await arq(bus, args, stdin);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout;
}

/** Publishes a number a line; the place of the last one. */
async function publish(bus: TestBus, numbers: readonly number[]): Promise<Place> {
  const lines = numbers.map((n) => `${n}\n`).join("");
  const { offset, epoch } = JSON.parse(
    await done(bus, ["pub", ROOM, "--ndjson", "-", "--json"], lines),
  );
  return { offset, epoch };
}

const history = (from: Place, ...more: string[]) => [
  ...["room", "history", ROOM, "--after", String(from.offset), "--epoch", from.epoch, ...more],
];
const replay = (from: Place, ...more: string[]) => [
  ...["room", "replay", ROOM, "--to", TARGET, "--from", String(from.offset)],
  ...["--epoch", from.epoch, "--json", ...more],
];
const sub = (from: Place, count: number) => [
  ...["sub", ROOM, "--from", String(from.offset), "--epoch", from.epoch],
  ...["--count", String(count)],
];

async function refuses(bus: TestBus, from: Place): Promise<void> {
  for (const args of [history(from), replay(from), sub(from, 1)]) {
    const { code, stdout, stderr } = await arq(bus, args);
    assert.deepEqual([code, stdout], [1, ""], `${args.join(" ")}: ${stderr}`);
    assert.match(stderr, new RegExp(`began anew: its epoch is \\S+, not ${from.epoch}`));
  }
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) {
    await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

Deno.test("an epoch of before a restart is good for what is still there, and for nothing else", async () => {
  const folder = await Deno.makeTempDir({ prefix: "arqon-places-" });
  const args = ["--data-dir", `${folder}/data`];
  try {
    const [first, second] = await (async () => {
      await using bus = await startBus(args);
      const first = await publish(bus, [1, 2]);
      const second = await publish(bus, [3]);
      const usage = await arq(bus, ["room", "history", ROOM, "--epoch", first.epoch]);
      assert.equal(usage.code, 2, usage.stderr);
      assert.match(usage.stderr, /--epoch needs --after or --before/);
      return [first, second];
    })();
    await copyFolder(`${folder}/data`, `${folder}/copy`);
    const lost = await (async () => {
      await using bus = await startBus(args);
      const third = await publish(bus, [4, 5]);
      assert.notEqual(third.epoch, first.epoch, "a restart is another life");
      for (const from of [first, { ...first, epoch: third.epoch }]) {
        assert.equal(await done(bus, history(from)), "3\n4\n5\n");
        assert.equal(await done(bus, sub(from, 3)), "3\n4\n5\n");
      }
      const before = ["room", "history", ROOM, "--before", String(second.offset)];
      assert.equal(await done(bus, [...before, "--epoch", first.epoch]), "1\n2\n");
      const { published, epoch } = JSON.parse(await done(bus, replay(first)));
      assert.deepEqual([published, epoch], [3, third.epoch]);
      // What went on and what begins again name the messages alike as long as they can.
      const until = ["--until", String(second.offset)];
      await done(bus, replay({ ...first, offset: 0 }, ...until));
      await done(bus, replay({ ...first, offset: 0 }, ...until));
      assert.equal(await done(bus, ["room", "history", TARGET]), "3\n4\n5\n1\n2\n3\n");
      await refuses(bus, { offset: third.offset, epoch: first.epoch });
      await refuses(bus, { offset: first.offset, epoch: "older" });
      return third;
    })();
    await Deno.remove(`${folder}/data`, { recursive: true });
    await Deno.rename(`${folder}/copy`, `${folder}/data`);
    await using bus = await startBus(args);
    await publish(bus, [6]);
    assert.equal(await done(bus, history(first)), "3\n6\n");
    await refuses(bus, lost);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
