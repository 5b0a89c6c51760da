/**
 * Attempts to connect that fail, in every runtime: platforms report failures differently, and an unreported one takes
 * the whole `handshake_timeout_ms`. And an outdated Node.
 */
import assert from "node:assert/strict";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { startBus } from "../harness/bus.ts";
import { BUN_VERSION, ensureBun, ensureNode, NODE_VERSIONS, OLD_NODE_VERSION } from "./runtimes.ts";
import { runInProject } from "./scenarios_runtimes.ts";
import { DEADLINE_MS, type Scenario, type World } from "./world.ts";
import { freePort } from "../harness/free_ports.ts";

/**
 * An idle machine takes some ms, a busy one maybe a second or two; an unreported failure ends after 10,000 ms, the
 * default of `handshake_timeout_ms`.
 */
const SETTLED_MS = 4_000;

interface Runtime {
  readonly name: string;
  ensure(): Promise<string>;
}

const RUNTIMES: readonly Runtime[] = [
  ...NODE_VERSIONS.map((version) => ({
    name: `Node ${version}`,
    ensure: () => ensureNode(version),
  })),
  { name: `Bun ${BUN_VERSION}`, ensure: ensureBun },
];

/** A port without a listener. */
const deadUrl = () => `ws://127.0.0.1:${freePort()}`;

/** Checks the outcome of an attempt. */
async function assertSettled(
  world: World,
  program: string,
  args: readonly string[],
  reason: string,
): Promise<void> {
  const seen = JSON.parse(await runInProject(world, program, ["refusals.ts", ...args]));
  assert.equal(seen.reason, reason);
  assert.ok(seen.took_ms < SETTLED_MS, `${reason} after ${seen.took_ms} ms`);
}

async function refusals(world: World, { name, ensure }: Runtime): Promise<void> {
  const program = await ensure();
  const { bus } = world;
  const { url } = bus;
  const user = name.replaceAll(/\W/g, "-");
  const token = await bus.tokenFor({ user });
  const forged = token.replace(/\.[^.]*$/, `.${"A".repeat(86)}`);
  const admin = await bus.tokenFor({ role: "admin", user: "moderator" });
  await assertSettled(world, program, ["connect", deadUrl(), token], "unreachable");
  await assertSettled(world, program, ["connect", url, forged], "token-signature");
  await assertSettled(world, program, ["banned", url, token, admin], "banned");
}

async function restart(world: World): Promise<void> {
  await using programs = new AsyncDisposableStack();
  const first = programs.use(await startBus());
  const { url, token } = first;
  const running = await Promise.all(RUNTIMES.map(async ({ name, ensure }) => {
    const words = [await ensure(), "refusals.ts", "restart", url, token];
    const cwd = world.project.folder;
    return {
      name,
      program: programs.use(StreamedCommand.start(words, { cwd, stderr: "inherit" })),
    };
  }));
  for (const { program } of running) assert.equal(JSON.parse(await program.firstLine()), "open");
  await first.stop("SIGKILL");
  programs.use(await startBus(["--port", new URL(url).port]));
  for (const { name, program } of running) {
    assert.ok(await program.shows(() => program.lines.length > 1, DEADLINE_MS), program.text);
    const took_ms: number[] = JSON.parse(program.lines[1]!);
    const slowest_ms = Math.max(...took_ms);
    assert.ok(slowest_ms < SETTLED_MS, `${name}: an attempt took ${slowest_ms} ms`);
  }
}

const OLD_NODE = `
  import { connect } from "@arqon/sdk";
  const error = await connect({ url: "localhost:1", token: "a.b.c" }).catch((error) => error);
  console.log(JSON.stringify([error.name, error.message]));
`;

/** Every failed attempt ends, with its reason. */
export const REFUSAL_SCENARIOS: readonly Scenario[] = [
  ...RUNTIMES.map((runtime): Scenario => ({
    name: `a dead port, a bad signature and a ban of 5 s are told at once in ${runtime.name}`,
    run: (world) => refusals(world, runtime),
  })),
  { name: "no attempt hangs while the bus restarts, in Node and Bun", run: restart },
  {
    name: `Node ${OLD_NODE_VERSION} is told in a sentence that the SDK needs Node 22`,
    async run(world) {
      const node = await ensureNode(OLD_NODE_VERSION);
      const out = await runInProject(world, node, ["--input-type=module", "-e", OLD_NODE]);
      assert.deepEqual(JSON.parse(out), ["TypeError", "@arqon/sdk needs Node 22 or newer"]);
    },
  },
];
