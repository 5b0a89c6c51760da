/**
 * The expected state of rooms with a counter: linearizable histories, according to porcupine; for each answered call
 * one entry and one event, in one order; and a log that two folds from its first entry reduce to the same digest, which
 * is the one that the bus recorded.
 */
import { readEnvelope } from "@arqon/proto";
import { foldRoom, type RoomSource } from "../../arq/reducers/room_fold.ts";
import { decodeBatch } from "../../brain/reducers/log/batch.ts";
import { emptyRoom, type RoomState, valuesDigest } from "../../brain/reducers/state/room_state.ts";
import { reducerRoomOf } from "../../shared/rooms/reserved.ts";
import type { DurableLog, LogMessage } from "../../shared/spine/contract/durable_log.ts";
import type { ObjectStore } from "../../shared/spine/contract/spine.ts";
import { must } from "../../tasks/checkout/programs.ts";
import { ROOT } from "../../tasks/checkout/source_files.ts";
import { ensureGoProgram, type GoProgram } from "../harness/go_program.ts";
import { writeLog } from "../verification/log_file.ts";
import type { MadeCall } from "./callers.ts";

/** A linearizability checker that we did not write, with a model of a counter. */
const CHECKER: GoProgram = {
  name: "arqon_linearizability",
  version: "porcupine-1.3.1-entries",
  source: { folder: "tests/linearizability" },
};
const PAGE = { limit: 1_000, max_bytes: 8_388_608 };

/** Calls of one room. */
export interface RoomHistory {
  readonly room: string;
  readonly calls: readonly MadeCall[];
}

/** Porcupine's result for each history, in order: `Ok`, `Illegal` or, on a timeout, `Unknown`. */
export async function linearizable(histories: readonly RoomHistory[]): Promise<string[]> {
  const program = await ensureGoProgram(CHECKER);
  const lines = histories.map(({ room, calls }) => {
    const members = calls.map(({ amount, total, entry, from, to }) => (
      { amount, total, entry, from, to }
    ));
    return `${JSON.stringify({ room, calls: members })}\n`;
  });
  const { stdout } = await must(program, [], { stdin: lines.join("") });
  return stdout.trim().split("\n").map((line) => JSON.parse(line).result);
}

/** Problems of a room's entries and events, as text. */
export function judgeEntries({ room, calls }: RoomHistory, events: readonly string[]): string[] {
  const problems: string[] = [];
  const sorted = calls.toSorted((one, other) => one.entry - other.entry);
  let total = 0;
  for (const [at, call] of sorted.entries()) {
    total += call.amount;
    if (call.entry === sorted[at - 1]?.entry) {
      problems.push(`entry ${call.entry} answered two calls`);
    }
    if (call.total !== total) {
      problems.push(`entry ${call.entry} came to ${call.total} instead of ${total}`);
      total = call.total;
    }
  }
  const totals = sorted.map((call) => String(call.total));
  const wrong = totals.findIndex((text, at) => text !== events[at]);
  if (wrong >= 0 || events.length !== totals.length) {
    const where = wrong < 0 ? totals.length : wrong;
    const both = `${events[where] ?? "nothing"} instead of ${totals[where] ?? "nothing"}`;
    problems.push(
      `of ${events.length} events for ${totals.length} calls the ${where + 1}. is ${both}`,
    );
  }
  return problems.slice(0, 10).map((text) => `${room}: ${text}`);
}

async function* messagesOf(log: DurableLog, room_id: string): AsyncGenerator<LogMessage> {
  for (let after = 0;;) {
    const { messages, more } = await log.read(room_id, { after, ...PAGE });
    yield* messages;
    after = messages.at(-1)?.offset ?? after;
    if (!more || messages.length === 0) return;
  }
}

/** The texts of a room's events. */
export async function eventsOf(log: DurableLog, room_id: string): Promise<string[]> {
  const texts: string[] = [];
  for await (const { payload } of messagesOf(log, room_id)) {
    texts.push(new TextDecoder().decode(readEnvelope(payload).event?.data));
  }
  return texts;
}

/** The room's stored log. */
export function sourceOf(log: DurableLog, objects: ObjectStore, room_id: string): RoomSource {
  return {
    room_id,
    snapshots: [],
    origin: undefined,
    lost: 0,
    get: (name) => objects.get(name),
    async *batches() {
      for await (const { payload } of messagesOf(log, reducerRoomOf(room_id)!)) {
        yield decodeBatch(readEnvelope(payload).event?.data ?? new Uint8Array());
      }
    },
  };
}

/** A room folded from its first entry, and where the log disagrees. */
export interface FoldedRoom {
  readonly entries: number;
  readonly chain: string;
  readonly values: string;
  readonly problems: readonly string[];
}

/** Folds a room from its first entry. */
export async function folded(source: RoomSource): Promise<FoldedRoom> {
  const problems: string[] = [];
  let last: RoomState = emptyRoom();
  let entries = 0;
  for await (const { state, noted } of foldRoom(source, last)) {
    entries++;
    last = state;
    if (noted !== undefined && noted.chain.toHex() !== state.chain.toHex()) {
      problems.push(`${source.room_id}: entry ${state.offset} has another digest in the log`);
    }
  }
  const [chain, values] = [last.chain, valuesDigest(last)].map((one) => one.toHex()) as [
    string,
    string,
  ];
  return { entries, chain, values, problems };
}

const PYTHON = `${ROOT}.arqon/python/bin/python`;

/** Whether the environment of `deno task test:python` exists. */
export async function wasmtimeThere(): Promise<boolean> {
  return await Deno.stat(PYTHON).then(() => true, () => false);
}

/**
 * The room's state in another engine, wasmtime, with a host and a fold in Python that were written from the ABI; the
 * file keeps the log.
 */
export async function foldedElsewhere(
  source: RoomSource,
  path: string,
): Promise<Omit<FoldedRoom, "problems">> {
  await writeLog(source, path);
  const { stdout } = await must(PYTHON, [`${ROOT}tests/verification/rooms_by_wasmtime.py`, path]);
  return JSON.parse(stdout);
}
