/**
 * Measures what members cost one Brain, for different numbers of members in a room: only presence
 * (`brain/presence/service.ts`) runs in a process, on a real NATS, and its heap is read after a forced collection,
 * before and after they joined.
 */
import { configFrom } from "../../shared/config/load.ts";
import { createMetrics } from "../../shared/metrics/metrics.ts";
import { type BrainPresenceService, startBrainPresence } from "../../brain/presence/service.ts";
import { startNats } from "../../tests/harness/nats_server.ts";
import { errorLog, openNatsSpine, until } from "../measure/brains.ts";
import { answer, measuredBy } from "../measure/program.ts";
import { renderTable } from "../measure/table.ts";
import type { MemoryOrder } from "./presence_memory_shield.ts";

/** The plan of the measurement. */
type MemoryPlan = Omit<MemoryOrder, "nats_url">;

/** The figures for all members together. */
interface MemoryFigures {
  readonly heap_bytes: number;
  /** Bytes that objects of the heap hold outside of it. */
  readonly external_bytes: number;
}

/** Collections in a row: what a finalizer frees, the next collection takes. */
const COLLECTIONS = 4;
/** Time after the last member until everything is published and the measured process rests. */
const REST_MS = 1_500;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function memory(): Promise<MemoryFigures> {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("needs --v8-flags=--expose-gc");
  for (let count = 0; count < COLLECTIONS; count++) {
    gc();
    await pause(50);
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return { heap_bytes: heapUsed, external_bytes: external };
}

/** Starts the Shield's thread, with its next message. */
function startShield(order: MemoryOrder) {
  const url = new URL("./presence_memory_shield.ts", import.meta.url);
  const thread = new Worker(url, { type: "module" });
  const heard: string[] = [];
  let failure: Error | undefined;
  thread.onmessage = ({ data }) => heard.push(data);
  thread.onerror = (event) => {
    event.preventDefault();
    failure = new Error(`the Shield failed: ${event.message}`);
  };
  thread.postMessage(order);
  const said = (word: string) =>
    until(() => {
      if (failure !== undefined) throw failure;
      return heard.includes(word);
    }, word);
  return { said, go: () => thread.postMessage(""), end: () => thread.terminate() };
}

function held(brain: BrainPresenceService, rooms: number): number {
  let members = 0;
  for (let room = 0; room < rooms; room++) {
    members += brain.count("bench", `room-${room}`).connections;
  }
  return members;
}

async function measure(plan: MemoryPlan): Promise<MemoryFigures> {
  await using nats = await startNats();
  const spine = await openNatsSpine(nats.url, "brain");
  const brain = await startBrainPresence({
    config: configFrom({}),
    spine,
    log: errorLog("brain"),
    registry: createMetrics({ node_id: "brain-1", version: "0" }),
    now: Date.now,
    random: Math.random,
    brain_id: "brain-1",
  });
  const shield = startShield({ ...plan, nats_url: nats.url });
  await shield.said("connected");
  await pause(REST_MS);
  const before = await memory();
  shield.go();
  await shield.said("joined");
  await until(() => held(brain, plan.rooms) === plan.members, "all members", 250);
  await pause(REST_MS);
  const after = await memory();
  shield.end();
  await brain.drain();
  await spine.drain();
  return {
    heap_bytes: after.heap_bytes - before.heap_bytes,
    external_bytes: after.external_bytes - before.external_bytes,
  };
}

/** One row of the table: a plan with its figures. */
export interface MemoryRow extends MemoryPlan, MemoryFigures {
  readonly name: string;
  /** Bytes of a member on the heap and outside of it. */
  readonly member_bytes: number;
}

function plansOf(members: number): (MemoryPlan & { name: string })[] {
  const rooms = Math.ceil(members / 100);
  const each = { members, rooms_per_connection: 1, meta: true };
  return [
    { name: "one room", ...each, rooms: 1 },
    { name: "one room, no metadata", ...each, rooms: 1, meta: false },
    { name: "100 in a room", ...each, rooms },
    { name: "100 in a room, 10 rooms a connection", ...each, rooms, rooms_per_connection: 10 },
    { name: "a room each", ...each, rooms: members },
  ];
}

/** Measures each row in a process of its own, one after the other. */
export async function measureMemory(members: number): Promise<MemoryRow[]> {
  const rows: MemoryRow[] = [];
  for (const { name, ...plan } of plansOf(members)) {
    console.error(`presence: memory of ${members} members, ${name} ...`);
    const flags = ["-A", "--v8-flags=--expose-gc"];
    const figures = await measuredBy<MemoryFigures>(import.meta.url, plan, { flags });
    const member_bytes = (figures.heap_bytes + figures.external_bytes) / members;
    rows.push({ name, ...plan, ...figures, member_bytes });
  }
  return rows;
}

/** The table of the rows, one for each plan. */
export function renderMemory(rows: readonly MemoryRow[]): string {
  return renderTable(rows, [
    ["memory of a Brain", ({ name }) => name],
    ["members", ({ members }) => members],
    ["rooms", ({ rooms }) => rooms],
    ["MB", ({ heap_bytes, external_bytes }) => (heap_bytes + external_bytes) / 1e6, 1],
    ["B/member", ({ member_bytes }) => member_bytes],
  ]);
}

if (import.meta.main) await answer(measure);
