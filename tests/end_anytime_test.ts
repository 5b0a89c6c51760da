/**
 * SIGTERM at any moment of a process: while it starts, while NATS or an issuer does not answer, while it drains. It
 * ends within `[server] drain_timeout_ms`, and leaves nothing behind. Real processes; a proxy before a real NATS stalls
 * in the middle.
 */
import assert from "node:assert/strict";
import { pace } from "../shared/testing/pace.ts";
import { becomes } from "../shared/testing/until.ts";
import { must } from "../tasks/checkout/programs.ts";
import { createIssuer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { startTcpProxy } from "./harness/tcp_proxy.ts";
import { silentServer } from "./harness/silent_server.ts";
import { createRandom } from "../shared/testing/seeded.ts";

const ROOT = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const DRAIN_TIMEOUT_MS = 4_000;
/** Additional time on a slow machine; a process that never ends exceeds it. */
const SLOW_MS = 45_000;
/** A signal comes within this time; by then a process serves, even on a slow machine. */
const LATEST_MS = 6_000;
const PARTS = ["shield", "brain", "arq", "processes"] as const;
const ROUNDS = 2;

/** The command that `deno task` runs for a part, without `deno task` itself, which is a separate process. */
async function argumentsOf(part: (typeof PARTS)[number], file: string): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}/deno.json`));
  const [, ...flags] = tasks[part === "processes" ? "shield" : part].split(" ");
  const args = part === "arq" ? ["serve", "--config", file] : ["--config", file];
  return [...flags, ...args, ...(part === "processes" ? ["--processes", "2"] : [])];
}

/** Processes whose arguments name this folder. */
async function processesOf(dir: string): Promise<string[]> {
  const { stdout } = await must("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes(dir) && !line.includes("ps -eo"));
}

interface Round {
  readonly part: (typeof PARTS)[number];
  readonly seed: number;
  readonly nats_port: number;
  readonly silent_port: number;
}

async function oneEnd({ part, seed, nats_port, silent_port }: Round): Promise<void> {
  const random = createRandom(seed).next;
  await using issuer = await createIssuer();
  await using proxy = startTcpProxy(nats_port);
  const slow_issuer = random() < 0.3
    ? `[[auth.issuers]]\nissuer = "slow"\naudience = "a"\ntenants = ["slow"]\n` +
      `jwks_url = "http://127.0.0.1:${silent_port}/jwks"\n`
    : "";
  const file = `${issuer.dir}/config.toml`;
  await Deno.writeTextFile(
    file,
    `[server]\nhost = "127.0.0.1"\nport = 0\ndrain_ms = 500\n` +
      `drain_timeout_ms = ${DRAIN_TIMEOUT_MS}\n[ops]\nport = 0\n[admin]\nport = 0\n` +
      `operator_tenants = ["ops"]\n[nats]\nurls = ["nats://127.0.0.1:${proxy.port}"]\n` +
      `[auth]\n${slow_issuer}${issuer.config}`,
  );
  const signal_ms = random() * LATEST_MS;
  const stall_ms = random() * LATEST_MS;
  const stalls = random() < 0.6;
  const child = new Deno.Command(Deno.execPath(), {
    args: await argumentsOf(part, file),
    cwd: ROOT,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(child.stderr).text();
  const timer = setTimeout(() => proxy.pause(), stalls ? stall_ms : 2 ** 30);
  try {
    await pace(signal_ms);
    const began_ms = performance.now();
    const running = Symbol();
    try {
      child.kill("SIGTERM");
    } catch {
      // The start failed on its own.
    }
    const bound_ms = DRAIN_TIMEOUT_MS + SLOW_MS;
    const status = await Promise.race([child.status, pace(bound_ms).then(() => running)]);
    const where = `${part}, seed ${seed}: SIGTERM after ${Math.round(signal_ms)} ms` +
      (stalls ? `, NATS silent after ${Math.round(stall_ms)} ms` : "") +
      (slow_issuer === "" ? "" : ", an issuer that says nothing");
    if (status === running) {
      for (const line of await processesOf(issuer.dir)) Deno.kill(parseInt(line), "SIGKILL");
      assert.fail(`${where}: it runs on after ${bound_ms} ms\n${await stderr}`);
    }
    let left: string[] = [];
    const isGone = async () => (left = await processesOf(issuer.dir)).length === 0;
    const gone = await becomes(isGone, bound_ms - (performance.now() - began_ms));
    assert.ok(gone, `${where}: left behind\n${left.join("\n")}`);
    assert.doesNotMatch(await stderr, /uncaught|unhandled/, where);
  } finally {
    clearTimeout(timer);
    proxy.resume();
  }
}

Deno.test("SIGTERM ends a process in time, whatever it does at that moment", async (t) => {
  await using nats = await startNats({ jetstream: true });
  using nobody = silentServer();
  const ports = { nats_port: nats.port, silent_port: nobody.port };
  for (const [index, part] of PARTS.entries()) {
    await t.step(part, async () => {
      for (let round = 0; round < ROUNDS; round += 2) {
        const seed = 1 + 100 * index + round;
        await Promise.all([
          oneEnd({ part, seed, ...ports }),
          oneEnd({ part, seed: seed + 1, ...ports }),
        ]);
      }
    });
  }
});
