/**
 * A program that measures how long many clients take to get what they missed in one room: a Shield (process)
 * on NATS, clients in processes of their own. In the first storm nobody hears the room, so that the Shield
 * holds none of its messages; in the second somebody does. Its argument is a plan as JSON; it prints JSON.
 * `durable_recover.ts` starts it.
 */
import { decodeServerFrame, encodeSub } from "@arqon/proto";
import {
  createIssuer,
  type Issuer,
  type ServerProcess,
  startServer,
} from "../../tests/harness/cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { Scrape } from "../measure/brains.ts";
import { shieldTarget } from "./durable_publishers.ts";
import type { ClientsPlan, StormReport } from "./durable_recover_clients.ts";
import { percentile } from "../measure/open_loop.ts";
import { ROOT } from "../measure/scenario.ts";
import { connectSocket } from "../measure/socket.ts";

/** The plan of the measurement. */
export interface RecoverPlan {
  readonly clients: number;
  readonly processes: number;
  readonly missed: number;
  readonly body_bytes: number;
}

/** The result of one storm. */
export interface Storm {
  readonly room: "cold" | "warm";
  readonly clients: number;
  /** Time from the start of the storm to the last message of the last client. */
  readonly all_ms: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  /** Reads of the log during the storm. */
  readonly log_reads: number;
  /** CPU time of the Shield during the storm. */
  readonly shield_cpu_s: number;
  readonly wrong: readonly string[];
}

/** The result of the measurement. */
export interface RecoverReport {
  readonly plan: RecoverPlan;
  /** Time until all clients were connected. */
  readonly connected_ms: number;
  readonly storms: readonly Storm[];
}

const TENANT = "acme";
const ROOM = "kept-1";
const CONFIG = `
[[rooms]]
room = "kept-*"
durable = true
[limits]
connections_per_user = 20_000
connections_per_tenant = 20_000
`;

const unixMs = () => performance.timeOrigin + performance.now();

/** A client that stays: it gives its first position, then every message. */
async function listen(url: string, token: string) {
  const socket = await connectSocket(url, ["arqon.v1", `arqon.token.${token}`]);
  const { promise, resolve, reject } = Promise.withResolvers<{ offset: number; epoch: string }>();
  socket.onmessage = (bytes) => {
    const frame = decodeServerFrame(bytes);
    if (frame.kind !== "ack") return;
    if (frame.ack.code === 0) resolve(JSON.parse(new TextDecoder().decode(frame.ack.result)));
    else reject(new Error(frame.ack.message));
  };
  socket.send(encodeSub({ room_id: ROOM, request_id: 1 }));
  return { ...await promise, close: () => socket.close() };
}

/** The clients of one process. */
class Clients implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  #text = "";

  constructor(plan: ClientsPlan) {
    const program = `${ROOT}/bench/durable/durable_recover_clients.ts`;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-net", program, JSON.stringify(plan)],
      cwd: ROOT,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#input = this.#child.stdin.getWriter();
  }

  async line<T>(): Promise<T> {
    while (!this.#text.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("a process of clients ended early");
      this.#text += value;
    }
    const end = this.#text.indexOf("\n");
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    return JSON.parse(line);
  }

  go(): Promise<void> {
    return this.#input.write(new TextEncoder().encode("go\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await this.#lines.cancel();
  }
}

async function count({ ready }: ServerProcess): Promise<{ reads: number; cpu_s: number }> {
  const answer = await fetch(`${ready["ops_url"]}/metrics`);
  const scrape = new Scrape(await answer.text());
  return {
    reads: scrape.sum("shield_log_reads_total"),
    cpu_s: scrape.sum("process_cpu_seconds_total"),
  };
}

async function storm(
  room: Storm["room"],
  processes: readonly Clients[],
  shield: ServerProcess,
): Promise<Storm> {
  const before = await count(shield);
  const began_ms = unixMs();
  await Promise.all(processes.map((one) => one.go()));
  const reports = await Promise.all(processes.map((one) => one.line<StormReport>()));
  const after = await count(shield);
  const times_ms = Float64Array.from(reports.flatMap((report) => report.times_ms)).sort();
  return {
    room,
    clients: times_ms.length,
    all_ms: Math.max(...reports.map(({ ended_ms }) => ended_ms)) - began_ms,
    p50_ms: percentile(times_ms, 0.5),
    p99_ms: percentile(times_ms, 0.99),
    log_reads: after.reads - before.reads,
    shield_cpu_s: after.cpu_s - before.cpu_s,
    wrong: reports.flatMap(({ wrong }) => wrong),
  };
}

/** Stores messages before the position and after it. Returns the position. */
async function fill(url: string, token: string, plan: RecoverPlan) {
  const publisher = await shieldTarget("Shield", url, token).open();
  const body = new Uint8Array(plan.body_bytes);
  for (let sent = 0; sent < 10; sent++) await publisher.publish(ROOM, body);
  const { offset, epoch, close } = await listen(url, token);
  close();
  for (let sent = 0; sent < plan.missed; sent++) await publisher.publish(ROOM, body);
  publisher.close();
  return { after_offset: offset, epoch };
}

async function run(plan: RecoverPlan, issuer: Issuer): Promise<RecoverReport> {
  await using owned = new AsyncDisposableStack();
  const nats = owned.use(await startNats({ jetstream: true }));
  const config = `[nats]\nurls = ["${nats.url}"]\n${CONFIG}${issuer.config}`;
  const shield = owned.use(await startServer("shield", config, issuer.dir));
  const url = `${shield.ready["url"]?.replace(/^http/, "ws")}/v1/socket`;
  const token = await issuer.tokenFor({ tenant_id: TENANT });
  const position = await fill(url, token, plan);
  const began_ms = performance.now();
  const clients = Math.floor(plan.clients / plan.processes);
  const processes = Array.from(
    { length: plan.processes },
    () =>
      owned.use(
        new Clients({ url, token, clients, room_id: ROOM, missed: plan.missed, ...position }),
      ),
  );
  await Promise.all(processes.map((one) => one.line()));
  const connected_ms = performance.now() - began_ms;
  const storms = [await storm("cold", processes, shield)];
  const { close } = await listen(url, token);
  storms.push(await storm("warm", processes, shield));
  close();
  return { plan, connected_ms, storms };
}

if (import.meta.main) {
  const issuer = await createIssuer();
  try {
    console.log(JSON.stringify(await run(JSON.parse(Deno.args[0] ?? ""), issuer)));
  } finally {
    await Deno.remove(issuer.dir, { recursive: true });
  }
  Deno.exit(0);
}
