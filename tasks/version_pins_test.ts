/** Versions of tools that stand in several places are the same in all of them. */
import assert from "node:assert/strict";
import { ROOT } from "./source_files.ts";

const read = (path: string) => Deno.readTextFile(ROOT + path);

/** What a pattern captures, all over a file. */
async function pins(path: string, pattern: RegExp): Promise<string[]> {
  return [...(await read(path)).matchAll(pattern)].map(([, version = ""]) => version);
}

async function workflows(): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(`${ROOT}.github/workflows`));
  return names.map(({ name }) => `.github/workflows/${name}`);
}

Deno.test("Deno is the same in CI, in the dev container and in the Python tests", async () => {
  const [wanted] = await pins(".ci/run", /^DENO_PACKAGE="deno@(\S+)"$/gm);
  assert(wanted !== undefined);
  const places: [string, RegExp][] = [
    [".devcontainer/Dockerfile", /denoland\/deno:bin-(\S+)/g],
    ["sdk/python/tests/bus.py", /^DENO_PACKAGE = "deno@(\S+)"$/gm],
  ];
  for (const [path, pattern] of places) assert.deepEqual(await pins(path, pattern), [wanted], path);
  const found = await Promise.all(
    (await workflows()).map((path) => pins(path, /deno-version: (\S+)/g)),
  );
  assert.deepEqual([...new Set(found.flat())], [wanted]);
});

Deno.test("the dev container has the nats-server of the tests, and forwards what they listen on", async () => {
  const [wanted] = await pins("tasks/nats_server.ts", /^const VERSION = "(\S+)";$/gm);
  assert.deepEqual(await pins(".devcontainer/Dockerfile", /NATS_VERSION=(\S+)/g), [wanted]);
  const { build, forwardPorts, portsAttributes } = JSON.parse(
    await read(".devcontainer/devcontainer.json"),
  );
  await read(`.devcontainer/${build.dockerfile}`);
  assert.deepEqual(forwardPorts, [4000, 4001, 4002, 4101, 4102, 3000, 9090]);
  assert.deepEqual(Object.keys(portsAttributes).sort(), forwardPorts.map(String).sort());
});

Deno.test("an action has one commit in all workflows", async () => {
  const commits = new Map<string, string>();
  for (const path of await workflows()) {
    for (
      const [, name = "", pin = ""] of (await read(path)).matchAll(/uses: ([\w.-]+\/[\w.-]+)@(.*)/g)
    ) {
      assert.equal(pin, commits.get(name) ?? pin, `${path}: ${name}`);
      commits.set(name, pin);
    }
  }
  assert(commits.size >= 8);
});
