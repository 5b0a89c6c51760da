/**
 * Backends on the bus's NATS, with the examples of `examples/nats/` in three languages and the documented account:
 * every follower gets all published messages once and in order, while Shields are killed.
 */
import assert from "node:assert/strict";
import { TextLineStream } from "../bench/measure/text_lines.ts";
import { until } from "../shared/testing/until.ts";
import { pythonPackages } from "../tasks/checkout/programs.ts";
import { ROOT } from "../tasks/checkout/source_files.ts";
import { createIssuer, type ServerProcess, startServer } from "./harness/cluster.ts";
import { documentedAccounts } from "./harness/documented_accounts.ts";
import { ensureGoProgram } from "./harness/go_program.ts";
import { startNats } from "./harness/nats_server.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const ROOM = "orders-1";
const MESSAGES = 60;
const TABLES = durableRooms("orders-*");

/** The example in each language, as a command line. */
async function programs(): Promise<Record<string, string[]>> {
  const bin = await pythonPackages("backend_python", ["nats-py==2.16.0"]);
  const go = await ensureGoProgram({
    name: "arqon_backend",
    version: "1",
    source: { folder: "examples/nats/go" },
  });
  return {
    typescript: [Deno.execPath(), "run", "-A", `${ROOT}examples/nats/backend.ts`],
    python: [`${bin}/python`, `${ROOT}examples/nats/backend.py`],
    go: [go],
  };
}

interface Bus extends AsyncDisposable {
  readonly env: Record<string, string>;
  restart(at: number): Promise<void>;
}

async function startBus(): Promise<Bus> {
  const issuer = await createIssuer();
  const nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const as = (user: string) => nats.url.replace("nats://", `nats://${user}:secret@`);
  const config = `[nats]\nurls = ["${as("shield")}"]\napi = true\n${TABLES}${issuer.config}`;
  const servers: ServerProcess[] = [];
  const start = async (at: number) => {
    servers[at] = await startServer("shield", config, issuer.dir, `node_id = "shield-${at}"`);
  };
  for (const at of [0, 1]) await start(at);
  const token = await issuer.tokenFor({ role: "service", sub: "billing" });
  return {
    env: { NATS_URL: as("backend"), ARQON_TOKEN: token, ARQON_TENANT: "acme" },
    async restart(at) {
      await servers[at]!.stop("SIGKILL");
      await start(at);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map((server) => server.stop()));
      await nats[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
    },
  };
}

function spawn([program = "", ...args]: readonly string[], env: Record<string, string>) {
  return new Deno.Command(program, { args, env, stdout: "piped", stderr: "inherit" }).spawn();
}

/** Starts a follower; returns its output. */
function follow(program: readonly string[], env: Record<string, string>) {
  const child = spawn([...program, "follow", ROOM, "0"], env);
  const lines: string[] = [];
  const reading = child.stdout.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream())
    .pipeTo(new WritableStream({ write: (line) => void lines.push(line) }));
  return {
    lines,
    async stop() {
      child.kill("SIGKILL");
      await Promise.all([child.status, reading]);
    },
  };
}

Deno.test("backends in three languages publish and follow by NATS, once and in order, while Shields are killed", async () => {
  const languages = await programs();
  await using bus = await startBus();
  const followers = Object.values(languages).map((program) => follow(program, bus.env));
  let published = 0;
  for (const [language, program] of Object.entries(languages)) {
    const child = spawn([...program, "publish", ROOM, String(MESSAGES)], bus.env);
    const draining = child.stdout.cancel();
    await until(
      `${language} publishes`,
      () => (followers[0]?.lines.length ?? 0) > published,
    );
    await bus.restart(0);
    await bus.restart(1);
    assert.ok((await child.status).success, language);
    await draining;
    published += MESSAGES;
  }
  const wanted = Object.keys(languages).flatMap(() =>
    Array.from({ length: MESSAGES }, (_, at) => at + 1)
  );
  for (const { lines } of followers) {
    await until("everything has arrived", () => lines.length >= wanted.length);
    const offsets = lines.map((line) => Number(line.split(" ")[0]));
    assert.deepEqual(offsets, offsets.toSorted((a, b) => a - b));
    assert.deepEqual(lines.map((line) => JSON.parse(line.split(" ").slice(1).join(" ")).n), wanted);
  }
  for (const one of followers) await one.stop();
});
