/**
 * The Brain's command desk: takes commands from the Spine, hands each to its room's queue, and
 * replies with an `Ack`. Keeps the table of rooms within its bounds. What commands mean is in
 * `document.ts`; who may send them, the Shield decided.
 */
import { ArqonError, writeAck } from "@arqon/proto";
import type { Logger } from "../../shared/log.ts";
import type { KeyValue, SpineMessage } from "../../shared/spine/spine.ts";
import { parseRoomSubject } from "../../shared/subject.ts";
import type { BrainMetrics } from "../metrics.ts";
import type { RoomCommand } from "./document.ts";
import { commandName, readCommandEnvelope, readRoomCommand } from "./request.ts";
import type { RoomAddress } from "./request.ts";
import { serveRoom } from "./room.ts";
import type { Room, RoomContext } from "./room.ts";

/** Bounds of the desk, from the config. */
export interface CommandLimits {
  /** Bytes that the entries of one room may take. */
  readonly state_bytes: number;
  /** Bytes of an entry's key. */
  readonly key_bytes: number;
  /** Commands of one room that may wait. */
  readonly pending_commands: number;
  /** Bytes of all commands that may wait, in all rooms together. */
  readonly pending_bytes: number;
  /** Rooms in memory, at work or remembered. */
  readonly rooms_in_memory: number;
  /** How long the Shield waits for an answer. */
  readonly command_timeout_ms: number;
}

/** What the desk needs. */
export interface CommandDeskOptions {
  readonly bucket: KeyValue;
  readonly limits: CommandLimits;
  readonly metrics: BrainMetrics;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Where commands come in and are answered. */
export interface CommandDesk {
  /** Takes one command. Never throws: a refusal is the reply. Without a reply subject it does nothing. */
  handle(message: SpineMessage): void;
  /** Resolves when every command taken so far is answered. */
  settled(): Promise<void>;
}

/** Busy rooms work; idle ones are only remembered, the one that rested longest goes first. */
interface RoomTable {
  readonly busy: Map<string, Room>;
  readonly idle: Map<string, Room>;
  readonly work: Set<Promise<void>>;
}

interface DeskState {
  readonly options: CommandDeskOptions;
  readonly context: RoomContext;
  readonly table: RoomTable;
  pending_bytes: number;
}

const FULL_RETRY_MS = 250;
const utf8 = new TextEncoder();

function tooManyPending(detail: string): ArqonError {
  return new ArqonError("too-many-pending", detail, { retry_after_ms: FULL_RETRY_MS });
}

/** Moves a room to the busy ones, making space if need be. Throws `too-many-pending` when all are busy. */
function wake(table: RoomTable, id: string, at: RoomAddress, rooms_in_memory: number): Room {
  const { busy, idle } = table;
  const known = idle.get(id);
  idle.delete(id);
  if (busy.size + idle.size >= rooms_in_memory) {
    const oldest = idle.keys().next();
    if (oldest.done) {
      throw tooManyPending(`${rooms_in_memory} rooms are at work`);
    }
    idle.delete(oldest.value);
  }
  const room = known ?? { key: [at.tenantId, at.roomId], cached: undefined, waiting: [] };
  busy.set(id, room);
  return room;
}

/** Where one command stands on its way to a reply. */
interface Errand {
  readonly message: SpineMessage;
  readonly received_ms: number;
  /** For metrics; a client's own text never becomes a label. */
  name: "room.get" | "room.set" | "unknown";
  trace_id: string;
}

function reply(errand: Errand, outcome: string | ArqonError, options: CommandDeskOptions): void {
  const { metrics, log, now } = options;
  const refused = outcome instanceof ArqonError;
  const code = refused ? outcome.code : 0;
  metrics.pending_commands.dec();
  metrics.pending_bytes.dec(errand.message.payload.length);
  metrics.commands.inc({ name: errand.name, code: String(code) });
  metrics.command_seconds.observe({ name: errand.name }, (now() - errand.received_ms) / 1_000);
  const { trace_id, message } = errand;
  if (refused && outcome.code >= 500) {
    const { reason } = outcome;
    log.error("command failed", { subject: message.subject, trace_id, reason, error: outcome });
  }
  const ack = refused
    ? {
      code,
      reason: outcome.reason,
      message: outcome.message,
      retry_after_ms: outcome.retry_after_ms,
    }
    : { code, result: utf8.encode(outcome) };
  try {
    message.respond(writeAck(ack));
  } catch (error) {
    // The Shield hears nothing and answers 408; the client repeats with its command_id.
    log.warn("command reply was not sent", { subject: message.subject, trace_id, error });
  }
}

function readErrand(
  errand: Errand,
  options: CommandDeskOptions,
): { at: RoomAddress; command: RoomCommand } {
  const { message } = errand;
  const at = parseRoomSubject(message.subject);
  if (at === undefined) throw new ArqonError("invalid-room", "the subject names no room");
  const envelope = readCommandEnvelope(message.payload, at);
  errand.trace_id = envelope.trace_id;
  errand.name = commandName(envelope.command.name) ?? "unknown";
  return { at, command: readRoomCommand(envelope, options.limits.key_bytes) };
}

/** Serves a woken room until nothing waits, then lets it rest. */
async function work(desk: DeskState, id: string, room: Room): Promise<void> {
  // Commands of one turn come before this and share a batch.
  await Promise.resolve();
  // Checked in the same turn as the room leaves the busy ones: a command that came while the last
  // answer was on its way here is not left waiting for the next.
  do {
    await serveRoom(room, desk.context);
  } while (room.waiting.length > 0);
  desk.table.busy.delete(id);
  desk.table.idle.set(id, room);
}

function roomAt(desk: DeskState, at: RoomAddress): Room {
  const { table, options } = desk;
  const id = `${at.tenantId}.${at.roomId}`;
  const busy = table.busy.get(id);
  if (busy !== undefined) return busy;
  const room = wake(table, id, at, options.limits.rooms_in_memory);
  options.metrics.rooms.set(table.busy.size + table.idle.size);
  const running = work(desk, id, room);
  table.work.add(running);
  running.finally(() => table.work.delete(running));
  return room;
}

/** Puts a command into its room's queue. Throws an ArqonError when it makes no sense or does not fit. */
function take(desk: DeskState, errand: Errand): void {
  const { options } = desk;
  const { limits } = options;
  const size_bytes = errand.message.payload.length;
  if (desk.pending_bytes + size_bytes > limits.pending_bytes) {
    throw tooManyPending(`${limits.pending_bytes} bytes of commands wait in this Brain`);
  }
  const { at, command } = readErrand(errand, options);
  const room = roomAt(desk, at);
  if (room.waiting.length >= limits.pending_commands) {
    throw tooManyPending(`${limits.pending_commands} commands wait for this room`);
  }
  desk.pending_bytes += size_bytes;
  room.waiting.push({
    command,
    deadline_ms: errand.received_ms + limits.command_timeout_ms,
    answer: (outcome) => {
      desk.pending_bytes -= size_bytes;
      reply(errand, outcome, options);
    },
  });
}

/** One desk per process. */
export function createCommandDesk(options: CommandDeskOptions): CommandDesk {
  const { limits, metrics, now } = options;
  const context: RoomContext = {
    ...options,
    ...limits,
    onConflict: () => metrics.command_conflicts.inc(),
  };
  const table: RoomTable = { busy: new Map(), idle: new Map(), work: new Set() };
  const desk: DeskState = { options, context, table, pending_bytes: 0 };
  return {
    handle: (message) => {
      if (message.reply === undefined) return;
      metrics.pending_commands.inc();
      metrics.pending_bytes.inc(message.payload.length);
      const errand: Errand = { message, received_ms: now(), name: "unknown", trace_id: "" };
      try {
        take(desk, errand);
      } catch (error) {
        const known = error instanceof ArqonError;
        reply(errand, known ? error : new ArqonError("internal", "", { cause: error }), options);
      }
    },
    settled: async () => {
      while (table.work.size > 0) await Promise.all(table.work);
    },
  };
}
