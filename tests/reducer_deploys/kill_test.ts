/**
 * `arq room deploy` and `arq room rollback` are killed (SIGKILL) at moments spread over their whole run, and `arq serve`
 * while it rolls back: each is done or was never, numbers go on, what a class names is stored whole, all rooms have one
 * program, and the next one goes through. At which moment a kill falls decides nothing here.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { sha256Hex } from "../../shared/sha256.ts";
import { runArq, startArq } from "../../arq/testing/run_arq.ts";
import { initFolder, startServe, tokenOf } from "../harness/serve_bus.ts";
import {
  built,
  ClassAdmin,
  type DeployedClass,
  requireOneProgram,
  ROOMS,
} from "./deployed_class.ts";

const CONFIG = `
[limits]
#constant limits.command_timeout_ms = 60_000
admin_requests_per_second = 100_000
[[reducers]]
name = "counter"
file = "counter.wasm"
[[rooms]]
room = "count-*"
durable = true
reducer = "counter"
`;
/** Kills of each command, and of the bus. */
const KILLS = 6;
const BUS_KILLS = 5;

/** A bus with rooms that are the counter, until somebody deploys the poll. */
async function openFolder() {
  const folder = await initFolder();
  await Deno.copyFile(built("counter"), `${folder.path}/counter.wasm`);
  await Deno.writeTextFile(`${folder.path}/config.toml`, CONFIG, { append: true });
  const token = await tokenOf(folder.path, "service");
  const admin = new ClassAdmin(await tokenOf(folder.path, "admin"), "default");
  return { folder, token, admin, poll: await sha256Hex(await Deno.readFile(built("poll"))) };
}

/** Runs `arq` and kills it after so long; the exit code. */
async function killed(args: string[], after_ms: number): Promise<number> {
  const { child, result } = await startArq(args);
  const timer = setTimeout(() => child.kill("SIGKILL"), after_ms);
  const { code } = await result();
  clearTimeout(timer);
  return code;
}

Deno.test("arq that is killed while it deploys or rolls back has done it once, or never", async () => {
  const { folder, token, admin, poll } = await openFolder();
  await using _folder = folder;
  await using bus = admin.bus = await startServe(folder.path);
  await requireOneProgram(admin, token, poll);
  const deploy = ["deploy", "count-*", built("poll"), "--max-differences", "1000000", "--yes"];
  let [own, kills] = [0, 0];
  for (const args of [deploy, ["rollback", "count-*"]]) {
    const command = ["room", ...args, ...admin.flags];
    const begin = async () => {
      const wanted = args === deploy ? "" : poll;
      while ((await admin.see()).current.module !== wanted) {
        await (wanted === "" ? admin.rollBack() : admin.deploy(built("poll")));
        own++;
      }
    };
    await begin();
    const started_ms = performance.now();
    assert.equal(await killed(command, 600_000), 0);
    own++;
    const whole_ms = performance.now() - started_ms;
    for (let kill = 1; kill <= KILLS; kill++) {
      await begin();
      const before = await admin.whole();
      await killed(command, whole_ms * kill / (KILLS + 1));
      kills++;
      const { number, current } = await admin.whole();
      assert.ok(number === before.number || current.module !== before.current.module, `${number}`);
      // What is under way at the bus yet, and the next one: both have a number, or one of them never was.
      await admin.deploy(built("poll"));
      own++;
      await requireOneProgram(admin, token, poll);
      const after = await admin.whole();
      assert.ok(after.number > before.number && after.modules.length === 1);
    }
  }
  const { number } = await admin.whole();
  assert.ok(number >= own && number <= own + kills, `${number}: ${own} and at most ${kills} more`);
  const done = bus.log().split("\n").filter((line) => /a reducer was (deployed|rolled)/.test(line));
  assert.equal(done.length, number, "each has a number of its own");
  for (const id of ROOMS) {
    const { code, stdout } = await runArq(["room", "verify", id, ...admin.flags]);
    assert.equal(code, 0, stdout);
  }
});

Deno.test("a bus that is killed while it rolls back has done it, or never, and all rooms have one program", async () => {
  const { folder, token, admin, poll } = await openFolder();
  await using _folder = folder;
  let before: DeployedClass | undefined;
  for (let round = 0; round <= BUS_KILLS; round++) {
    await using bus = admin.bus = await startServe(folder.path);
    const found = await admin.whole();
    if (before !== undefined) {
      const is_done = found.number === before.number + 1;
      assert.ok(is_done || found.number === before.number, `${found.number}`);
      const { current, before: steps } = before;
      assert.equal(found.current.module, is_done ? steps[0]!.module : current.module);
      assert.deepEqual(found.before, is_done ? steps.slice(1) : steps);
    }
    await requireOneProgram(admin, token, poll);
    if (round === BUS_KILLS) break;
    const next = await admin.deploy(built("poll"));
    assert.equal(next.number, found.number + 1, "the next one goes through");
    before = await admin.whole();
    await using client = await connect({ url: bus.url, token });
    const calls = ROOMS.map((id) => reduced<{ add: [number, number] }>(client.room(id)))
      .map((room) => room.call("add", 1, { timeout_ms: 60_000 }).catch(() => {}));
    const rolling = admin.rollBack().then(() => {}, () => {});
    // At the kill it has not begun, is under way, or is done.
    for (let turn = 0; turn < round * 4; turn++) await admin.see().catch(() => {});
    await bus.stop("SIGKILL");
    await Promise.all([rolling, client.close(), ...calls]);
  }
  await using _bus = admin.bus = await startServe(folder.path);
  for (const id of ROOMS) {
    const { code, stdout } = await runArq(["room", "verify", id, ...admin.flags]);
    assert.equal(code, 0, stdout);
  }
});
