/**
 * The same program, with the packages as npm installed them, in every runtime. Each must end: whatever keeps
 * a program alive is a leak.
 */
import assert from "node:assert/strict";
import { BUN_VERSION, ensureBun, ensureNode, NODE_VERSIONS } from "./runtimes.ts";
import { DEADLINE_MS, type Scenario, type World } from "./world.ts";

/** Runs a command in the project until it ends, without the environment of this process. */
export async function runInProject(
  { project }: World,
  program: string,
  args: readonly string[],
): Promise<string> {
  const { success, code, signal, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: project.folder,
    stdin: "null",
    signal: AbortSignal.timeout(DEADLINE_MS),
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  const how = signal === null ? `exit code ${code}` : `${signal}, after ${DEADLINE_MS} ms or less`;
  assert.ok(success, `${program} ${args[0]}: ${how}\n${out}${err}`);
  return out!;
}

/** Checks the observations of a tour. */
export function assertTour(seen: unknown, name: string): void {
  assert.deepEqual(seen, [
    "members 1",
    `heard chat: hello from ${name}`,
    "state tea",
    "lock, then fence-mismatch",
    "history chat",
    "version 1",
  ]);
}

async function tourWith(
  world: World,
  name: string,
  program: string,
  args: readonly string[],
): Promise<void> {
  const { url, token } = world.bus;
  const out = await runInProject(world, program, [...args, url, token, name]);
  assertTour(JSON.parse(out), name);
}

/** Only the project's files: no lock, configuration or workspace of ours. */
const DENO = ["run", "--no-lock", "--node-modules-dir=manual", "--allow-net", "--allow-read"];

/** The tour in every runtime and in every kind of worker outside pages. */
export const RUNTIME_SCENARIOS: readonly Scenario[] = [
  ...NODE_VERSIONS.map((version): Scenario => ({
    name: `the tour in Node ${version}, on the main thread and on another`,
    async run(world) {
      const node = await ensureNode(version);
      const place = `node${version.split(".", 1)}`;
      await Promise.all([
        tourWith(world, place, node, ["main.ts"]),
        tourWith(world, `${place}-thread`, node, ["thread_main.ts"]),
      ]);
    },
  })),
  {
    name: `the tour in Bun ${BUN_VERSION}, and in its web worker`,
    async run(world) {
      const bun = await ensureBun();
      await Promise.all([
        tourWith(world, "bun", bun, ["main.ts"]),
        tourWith(world, "bun-worker", bun, ["worker_main.ts"]),
      ]);
    },
  },
  {
    name: "the tour in Deno with npm's package, and in its web worker",
    async run(world) {
      await Promise.all([
        tourWith(world, "deno", Deno.execPath(), [...DENO, "main.ts"]),
        tourWith(world, "deno-worker", Deno.execPath(), [...DENO, "worker_main.ts"]),
      ]);
    },
  },
  {
    name: `the chat example in Node ${NODE_VERSIONS[0]}`,
    async run(world) {
      const { bus, project } = world;
      const chat = new URL("../../examples/chat/typescript/chat.ts", import.meta.url);
      await Deno.copyFile(chat, `${project.folder}/chat.ts`);
      const node = await ensureNode(NODE_VERSIONS[0]);
      // Its input has ended: it joins, publishes nothing and leaves.
      const args = ["chat.ts", bus.url, bus.token, "durable-node", "nod"];
      await runInProject(world, node, args);
    },
  },
];
