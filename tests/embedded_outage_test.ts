/**
 * A bus on the embedded Spine whose `data_dir` is read-only, in use or damaged: a clear error, and nothing is changed.
 * Real processes. Under SIGKILL: `durable_kill_test.ts`; a full disk: `full_disk_test.ts`.
 */
import assert from "node:assert/strict";
import { connect, type Connection } from "../sdk/typescript/mod.ts";
import { roomState } from "@arqon/sdk/state";
import { startBus, type TestBus } from "./harness/bus.ts";

async function withFolder(run: (data_dir: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-outage-" });
  try {
    await run(`${folder}/data`);
  } finally {
    await Deno.chmod(`${folder}/data`, 0o700).catch(() => {});
    await Deno.remove(folder, { recursive: true });
  }
}

const dial = async (bus: TestBus): Promise<Connection> =>
  await connect({ url: bus.url, token: await bus.tokenFor({ role: "service" }) });

/** A process of root may write everywhere, unless it drops that right. */
const UNPRIVILEGED = Deno.uid() === 0
  ? ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
  : [];

async function failsToStart(args: string[], wrapper: readonly string[], why: RegExp) {
  await assert.rejects(startBus(args, false, wrapper), (error) => {
    assert.ok(error instanceof Error);
    assert.match(error.message, /ended before it was ready/);
    assert.match(error.message, why);
    assert.doesNotMatch(error.message, /\n\s+at /, "no stack trace");
    return true;
  });
}

Deno.test("a data_dir that is read-only, damaged or in use: the bus does not start, and reports why", async () => {
  await withFolder(async (data_dir) => {
    const args = ["--data-dir", data_dir];
    {
      await using bus = await startBus(args);
      await using client = await dial(bus);
      await roomState(client.room("state")).set("k", 1);
      await failsToStart(args, [], /data_dir .* is in use by another ArqonBus process/);
      await roomState(client.room("state")).set("k", 2);
    }
    const files = [...Deno.readDirSync(data_dir)].map(({ name }) => `${data_dir}/${name}`);
    for (const file of files) await Deno.chmod(file, 0o400);
    await Deno.chmod(data_dir, 0o500);
    await failsToStart(
      args,
      UNPRIVILEGED,
      /data_dir .* cannot be opened \(.*; may this user write there\?\)/,
    );
    await Deno.chmod(data_dir, 0o700);
    for (const file of files) await Deno.chmod(file, 0o600);
    const file = `${data_dir}/spine.sqlite`;
    const good = await Deno.readFile(file);
    await Deno.writeFile(file, new TextEncoder().encode("no database at all, but long enough"));
    await failsToStart(args, [], /data_dir .* cannot be opened \(file is not a database\)/);
    await Deno.writeFile(file, good);
    await using bus = await startBus(args);
    await using client = await dial(bus);
    assert.equal((await roomState(client.room("state")).get("k")).value, 2, "nothing was touched");
  });
});
