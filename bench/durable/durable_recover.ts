/**
 * How long many clients take to get what they missed in one room: a Shield (process) on NATS, clients in processes
 * of their own. In the first storm nobody hears the room, so that the Shield holds none of its messages; in the
 * second somebody does.
 */
import { decodeServerFrame, encodeSub } from "@arqon/proto";
import { createIssuer, type ServerProcess, startServer } from "../../tests/harness/cluster.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { Scrape } from "../measure/brains.ts";
import { type Program, startProgram } from "../measure/line_program.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { connectSocket } from "../measure/socket.ts";
import { delaysOf } from "../measure/statistics.ts";
import { renderTable } from "../measure/table.ts";
import { shieldTarget } from "./durable_publishers.ts";
import type { ClientsPlan, StormReport } from "./durable_recover_clients.ts";

/** The plan of the measurement. */
interface RecoverPlan {
  readonly clients: number;
  readonly processes: number;
  readonly missed: number;
  readonly body_bytes: number;
}

/** The result of one storm. */
interface Storm {
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
  processes: readonly Program[],
  shield: ServerProcess,
): Promise<Storm> {
  const before = await count(shield);
  const began_ms = unixMs();
  await Promise.all(processes.map((one) => one.say("go")));
  const reports = await Promise.all(processes.map((one) => one.hear<StormReport>()));
  const after = await count(shield);
  const times_ms = reports.flatMap((report) => report.times_ms);
  const { p50_ms, p99_ms } = delaysOf(times_ms);
  return {
    room,
    clients: times_ms.length,
    all_ms: Math.max(...reports.map(({ ended_ms }) => ended_ms)) - began_ms,
    p50_ms,
    p99_ms,
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

async function measure(plan: RecoverPlan): Promise<RecoverReport> {
  await using owned = new AsyncDisposableStack();
  const issuer = owned.use(await createIssuer());
  const nats = owned.use(await startNats({ jetstream: true }));
  const config = `[nats]\nurls = ["${nats.url}"]\n${CONFIG}${issuer.config}`;
  const shield = owned.use(await startServer("shield", config, issuer.dir));
  const url = `${shield.ready["url"]?.replace(/^http/, "ws")}/v1/socket`;
  const token = await issuer.tokenFor({ tenant_id: TENANT });
  const position = await fill(url, token, plan);
  const began_ms = performance.now();
  const clients = Math.floor(plan.clients / plan.processes);
  const order: ClientsPlan = {
    ...{ url, token, clients, room_id: ROOM, missed: plan.missed, ...position },
  };
  const processes = Array.from({ length: plan.processes }, () =>
    owned.use(
      startProgram("bench/durable/durable_recover_clients.ts", {
        flags: ["--allow-net"],
        args: [JSON.stringify(order)],
      }),
    ));
  await Promise.all(processes.map((one) => one.hear()));
  const connected_ms = performance.now() - began_ms;
  const storms = [await storm("cold", processes, shield)];
  const { close } = await listen(url, token);
  storms.push(await storm("warm", processes, shield));
  close();
  return { plan, connected_ms, storms };
}

/** Measures the recovery by this plan. */
export function measureRecovery(plan: RecoverPlan): Promise<RecoverReport> {
  console.error(`durable: ${plan.clients} clients recover ${plan.missed} messages each ...`);
  return measuredBy(import.meta.url, plan);
}

/** The table of the storms, one row for each. */
export function renderRecovery({ plan, storms }: RecoverReport): string {
  const rooms = { cold: "room that nobody heard", warm: "room that somebody heard" };
  return renderTable(storms, [
    [`recovery of ${plan.missed} messages`, ({ room }) => rooms[room]],
    ["clients", ({ clients }) => clients],
    ["all ms", ({ all_ms }) => all_ms],
    ["p50 ms", ({ p50_ms }) => p50_ms],
    ["p99 ms", ({ p99_ms }) => p99_ms],
    ["messages/s", ({ clients, all_ms }) => clients * plan.missed / all_ms * 1_000],
    ["log reads", ({ log_reads }) => log_reads],
    ["Shield CPU s", ({ shield_cpu_s }) => shield_cpu_s, 1],
  ]);
}

if (import.meta.main) await answer(measure);
