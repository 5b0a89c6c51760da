/**
 * The last release beside this checkout under traffic, both directions: every Shield and Brain is replaced in turn
 * while clients of both releases and both languages publish, receive and write state; nothing is lost or refused.
 */
import assert from "node:assert/strict";
import { deno } from "../../tasks/checkout/programs.ts";
import { pythonWithSdk } from "./python.ts";
import { HEAD_TREE, isMissing, unpack } from "./release_tree.ts";
import { NODES, openWorld, type World } from "./world.ts";
import { atEnd } from "../../shared/testing/at_end.ts";

/** No process may log these when it reads records and messages of the other release. */
const STRANGE = /^.*(TypeError|ZodError|uncaught error|unhandled rejection|level=error).*$/gm;

/** `arq` of that tree queries a process; it supports all four. */
async function asksFrom(tree: string, world: World): Promise<void> {
  const token = await world.issuer.tokenFor({ role: "admin", sub: "root" });
  for (const node of ["shield-0", "shield-1"] as const) {
    const asked = ["status", "--json", ...world.flagsOf(node), "--token", token];
    const { stdout } = await deno(["task", "--quiet", "arq", ...asked], { cwd: tree });
    for (const name of NODES) {
      assert.ok(stdout.includes(`${name}"`), `${node}: ${name} in ${stdout}`);
    }
  }
}

/** Replaces every process; halfway, `arq` of both trees queries, and the first Brain of the other release dies. */
async function roll(world: World, to: string, trees: readonly string[]): Promise<void> {
  for (const name of NODES) {
    await world.stop(name);
    await world.start(name, to);
    await world.goesOn();
    if (name !== "brain-0") continue;
    for (const tree of trees) await asksFrom(tree, world);
    await world.stop(name, "SIGKILL");
    await world.goesOn();
    await world.start(name, to);
  }
}

Deno.test("the last release and this one run together, each process replaced in turn, there and back", async () => {
  if (await isMissing()) return;
  const dir = await Deno.makeTempDir({ prefix: "arqon-upgrade-" });
  const old = `${dir}/release`;
  await using _end = atEnd(() => Deno.remove(dir, { recursive: true }));
  await unpack(old);
  const python = await pythonWithSdk();
  await using world = await openWorld();
  for (const name of NODES) await world.start(name, old);
  for (const [at, tree] of [old, HEAD_TREE].entries()) {
    await world.addClient(`typescript-${at}`, tree, HEAD_TREE);
    await world.addClient(`python-${at}`, tree, HEAD_TREE, python);
  }
  await world.goesOn();
  for (const to of [HEAD_TREE, old]) await roll(world, to, [old, HEAD_TREE]);
  for (const [name, { acknowledged, received, refused }] of await world.found()) {
    assert.deepEqual(refused, [], `${name}\n${world.log}`);
    const all = Array.from({ length: acknowledged }, (_, n) => n);
    assert.deepEqual(received, [...all, -1], name);
  }
  assert.deepEqual(world.log.match(STRANGE) ?? [], []);
});
