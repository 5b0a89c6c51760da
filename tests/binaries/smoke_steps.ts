/**
 * The steps that every form of `arq` must pass on every system, one after another in an empty folder: creating a bus,
 * messages, a policy that refuses, the end. No signals and no shell: Windows has neither.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { JournalRecord } from "../../shared/journal/record.ts";
import { decidedBy, recordOf } from "../../shared/journal/testing/records.ts";
import { until } from "../../shared/testing/until.ts";
import { offline, type Ran, run, type Tool } from "./tool.ts";
import { freePorts } from "../harness/free_ports.ts";

/** One step; its line is `name`. */
export interface SmokeStep {
  readonly name: string;
  run(world: SmokeWorld): Promise<void>;
}

/** A folder with a bus in it. */
export interface SmokeWorld {
  readonly tool: Tool;
  /** The bus's folder. */
  readonly cwd: string;
  readonly ports: readonly number[];
  readonly version: string;
  /** Set by the step that starts it. */
  bus?: Deno.ChildProcess;
  /** Runs `arq` there to its end. */
  arq(...args: string[]): Promise<Ran>;
  /** As `arq`, but it must succeed. */
  must(...args: string[]): Promise<string>;
  /** Starts `arq` and leaves it running; ended with the world. */
  start(...args: string[]): Deno.ChildProcess;
}

const POLICY = `import { Message, onMessage, reject, Verdict } from "@arqon/policy/v2";
function judge(_m: Message): Verdict {
  return reject("closed today", 403);
}
onMessage(judge);
`;

/** The journal's record of a refusal by that policy; meter version 0 excludes the fuel from the comparison. */
const CLOSED = { allowed: false, code: 403 };
const closedRecord = (sha256: string): JournalRecord =>
  recordOf({
    ...CLOSED,
    reason: "policy-rejected",
    message: "closed today",
    room: "closed",
    type: "message",
    content_type: "text/plain",
    payload: { form: "kept", data: btoa("hello") },
    chain_version: 1,
    policies: [decidedBy("closed", {
      ...CLOSED,
      module: sha256,
      reason: "closed today",
      budget_units: 5_000_000,
      asking_bytes: 0,
      has_read_payload: false,
      reads: [],
    })],
    meter_version: 0,
  });

async function status(url: string): Promise<number> {
  const response = await fetch(url);
  await response.body?.cancel();
  return response.status;
}

/** In order. */
export const SMOKE_STEPS: readonly SmokeStep[] = [
  {
    name: "arq --version",
    async run({ must, version }) {
      assert.equal((await must("--version")).trim(), version);
    },
  },
  {
    name: "arq init",
    async run({ must, cwd, ports }) {
      const flags = ["--port", "--ops-port", "--admin-port"];
      await must("init", ...flags.flatMap((flag, index) => [flag, String(ports[index])]));
      await Deno.stat(join(cwd, "config.toml"));
      await must("config", "check", "config.toml");
    },
  },
  {
    name: "arq serve",
    async run(world) {
      const { start, ports } = world;
      const bus = start("serve", "--config", "config.toml");
      world.bus = bus;
      const ready = () =>
        status(`http://127.0.0.1:${ports[1]}/health/ready`).then(
          (code) => code === 200,
          () => false,
        );
      await Promise.race([
        until("the bus is ready", ready),
        bus.status.then(({ code }) => Promise.reject(new Error(`arq serve ended with ${code}`))),
      ]);
    },
  },
  {
    name: "console and OpenAPI",
    async run({ ports }) {
      const admin = `http://127.0.0.1:${ports[2]}`;
      const paths = ["", "main.js", "replay_worker.js"].map((name) => `/console/${name}`);
      for (const path of [...paths, "/v1/openapi.json"]) {
        assert.equal(await status(`${admin}${path}`), 200, path);
      }
    },
  },
  {
    name: "publish and subscribe",
    async run({ must }) {
      await must("pub", "orders", '{"item":"tea"}');
      // The first from the room's history, the second live.
      const reading = must("sub", "orders", "--from", "0", "--count", "2");
      await must("pub", "orders", '{"item":"milk"}');
      assert.deepEqual((await reading).trim().split(/\r?\n/), [
        '{"item":"tea"}',
        '{"item":"milk"}',
      ]);
    },
  },
  {
    name: "a policy that refuses: 403",
    async run({ must, arq, cwd }) {
      await Deno.writeTextFile(join(cwd, "closed.ts"), POLICY);
      await must("policy", "build", "closed.ts");
      await must("policy", "deploy", "closed.wasm", "--room", "closed");
      const { code, stderr } = await arq("pub", "closed", "hello");
      assert.notEqual(code, 0, "the message was taken");
      assert.match(stderr, /403/);
      assert.match(stderr, /closed today/);
    },
  },
  {
    name: "a schema",
    async run({ must }) {
      await must("schema", "push", join("schemas", "order.binpb.gz"), "--id", "shop");
      assert.match(await must("schema", "list"), /^shop\b/m);
    },
  },
  {
    name: "a replay and a check of traffic, each in threads of their own",
    async run({ must, cwd }) {
      const { sha256 } = JSON.parse(await must("policy", "check", "closed.wasm", "--json"));
      await Deno.writeTextFile(
        join(cwd, "closed.ndjson"),
        `${JSON.stringify(closedRecord(sha256))}\n`,
      );
      const replayed = await must("policy", "replay", "closed.wasm", "--journal", "closed.ndjson");
      assert.match(replayed, /recorded module +1 repeated, all the same/);
      const set = join("schemas", "order.binpb.gz");
      const all = ["--traffic", "orders", "--message", "shop.v1.Order"];
      const checked = await must("schema", "check", set, "--id", "shop", ...all);
      assert.match(checked, /0 of 2 events would be refused/);
    },
  },
  {
    name: "arq status and arq doctor",
    async run({ must }) {
      assert.match(await must("status"), /ready/);
      assert.match(await must("doctor"), /0 failed/);
    },
  },
  {
    name: "the end: 0",
    async run({ must, ports, bus }) {
      const token = (await must("auth", "gen", "--role", "admin")).trim();
      const admin = `http://127.0.0.1:${ports[2]}`;
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      const status_now = await fetch(`${admin}/v1/status`, { headers });
      const { node_id } = await status_now.json();
      const body = JSON.stringify({ node_id });
      const drain = await fetch(`${admin}/v1/drain`, { method: "POST", headers, body });
      assert.equal(drain.status, 202, await drain.text());
      assert.equal((await bus!.status).code, 0);
    },
  },
];

/** Runs every step; `tell` receives each name and duration, in ms. Rejects with the first failure. */
export async function smoke(
  tool: Tool,
  version: string,
  tell: (name: string, took_ms: number) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-smoke-" });
  const cwd = join(folder, "bus");
  await Deno.mkdir(cwd);
  const options = { cwd, env: offline(folder) };
  const started: Deno.ChildProcess[] = [];
  const arq = (...args: string[]) => run([...tool.command, ...args], options);
  const must = async (...args: string[]) => {
    const { code, stdout, stderr } = await arq(...args);
    if (code !== 0) throw new Error(`arq ${args.join(" ")} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  };
  const start = (...args: string[]) => {
    const [program = "", ...rest] = [...tool.command, ...args];
    const command = {
      args: rest,
      ...options,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    } as const;
    const child = new Deno.Command(program, command).spawn();
    started.push(child);
    return child;
  };
  try {
    const world = { tool, cwd, ports: freePorts(3), version, arq, must, start };
    for (const step of SMOKE_STEPS) {
      const from_ms = performance.now();
      await step.run(world);
      tell(step.name, performance.now() - from_ms);
    }
  } finally {
    for (const child of started) await endTree(child);
    await Deno.remove(folder, { recursive: true });
  }
}

/** Includes the launcher's child, which Windows would leave running. */
async function endTree(child: Deno.ChildProcess): Promise<void> {
  if (Deno.build.os === "windows") {
    await run(["taskkill", "/T", "/F", "/PID", String(child.pid)], { cwd: "." }).catch(() => {});
  } else {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has already ended.
    }
  }
  await child.status;
}
