/**
 * A bus on the embedded Spine whose `data_dir` is full, read-only, in use, damaged, or torn by SIGKILL:
 * a clear error or a recovered state, and nothing acknowledged that is not there. Real processes. The
 * log under SIGKILL is `durable_kill_test.ts`.
 */
import assert from "node:assert/strict";
import { openEmbedded } from "../shared/spine/embedded/embedded.ts";
import { connect } from "../sdk/typescript/mod.ts";
import type { Connection } from "../sdk/typescript/mod.ts";
import { roomState } from "@arqon/sdk/state";
import { testLog } from "../shared/testing/test_log.ts";
import { startBus } from "./harness/bus.ts";
import type { TestBus } from "./harness/bus.ts";
import { createRandom } from "./presence_simulation/random.ts";

const KILLS = 25;
const SEED = 20_240_707;
/** The child lives so long after its first acknowledgement, at most. */
const LIFE_MS = 60;

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

/** What a room of the bus holds, after what was acknowledged. */
interface Acknowledged {
  readonly offsets: readonly number[];
  /** The keys that `room.set` was acknowledged for. */
  readonly keys: readonly string[];
}

/** A process of root's may write everywhere, unless it gives that right away. */
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

Deno.test("a data_dir that is read-only, damaged or in use: the bus does not start, and says why", async () => {
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

interface Written {
  readonly kind: string;
  readonly key: string;
  readonly text: string;
  readonly revision: number;
}

/** Starts a child and kills it; returns what it acknowledged. */
async function killOne(data_dir: string, round: number, life_ms: number): Promise<Written[]> {
  const path = (name: string) => new URL(name, import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-check", "--config", path("../deno.json")],
      ...["--allow-read", "--allow-write", path("outage/kv_kill_child.ts")],
      ...[data_dir, String(round)],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    timer ??= setTimeout(() => child.kill("SIGKILL"), life_ms);
  }
  assert.equal((await child.status).signal, "SIGKILL", "the child died by itself");
  return output.split("\n").slice(0, -1).map((line) => {
    const [kind = "", key = "", text = "", revision = ""] = line.split(" ");
    return { kind, key, text, revision: Number(revision) };
  });
}

/** Whether what is stored is what was acknowledged last, or was written after it. */
function isAsNew(stored: string, acknowledged: string): boolean {
  const [a, b] = [stored, acknowledged].map((text) => text.split("/").map(Number));
  const [[round = -1, number = -1], [least_round = -1, least_number = -1]] = [a ?? [], b ?? []];
  return round > least_round || (round === least_round && number >= least_number);
}

async function verify(data_dir: string, written: readonly Written[]): Promise<void> {
  const spine = openEmbedded({ log: testLog("warn"), now: Date.now, data_dir });
  try {
    const bucket = await spine.keyValue("TORN");
    const objects = await spine.objects("TORN");
    const decoder = new TextDecoder();
    const last = new Map(written.map((one) => [`${one.kind} ${one.key}`, one]));
    for (const { kind, key, text, revision } of last.values()) {
      const entry = kind === "key" ? await bucket.get([key]) : undefined;
      const bytes = kind === "key" ? entry?.value : await objects.get(key);
      const stored = decoder.decode(bytes).replace(/\.+$/, "");
      assert.ok(isAsNew(stored, text), `${kind} ${key} is ${stored}; ${text} was acknowledged`);
      if (entry !== undefined) assert.ok(entry.revision >= revision, `${key} went back`);
    }
    const highest = Math.max(0, ...written.map(({ revision }) => revision));
    const key = ["after"];
    const before = (await bucket.get(key))?.revision ?? 0;
    const next = await bucket.update(key, new Uint8Array(), before);
    assert.ok(next > highest, "no revision comes twice");
  } finally {
    await spine.drain();
  }
}

Deno.test("keys and objects under SIGKILL: what was acknowledged is there, no revision comes twice", async () => {
  await withFolder(async (data_dir) => {
    const random = createRandom(SEED);
    let total = 0;
    for (let round = 0; round < KILLS; round++) {
      const written = await killOne(data_dir, round, random.int(0, LIFE_MS));
      total += written.length;
      await verify(data_dir, written);
    }
    assert.ok(total > KILLS * 10, `${total} were acknowledged`);
    const made_up = [{ kind: "key", key: "k0", text: `${KILLS}/0`, revision: 0 }];
    await assert.rejects(
      verify(data_dir, made_up),
      /was acknowledged/,
      "the check is no formality",
    );
  });
});
