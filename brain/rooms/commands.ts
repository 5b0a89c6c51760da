/**
 * The Brain's command desk: takes commands from the Spine, brings each to its room's queue, here or
 * at the room's owner, and replies with an `Ack`. What commands mean is in `document.ts`; who may
 * send them, the Shield decided.
 */
import { ArqonError, writeAck } from "@arqon/proto";
import type { Logger } from "../../shared/log.ts";
import type { Spine, SpineMessage } from "../../shared/spine/spine.ts";
import { parseRoomSubject } from "../../shared/subject.ts";
import { tracedRequests } from "../../shared/telemetry/spine_span.ts";
import type { Span, Tracing } from "../../shared/telemetry/tracing.ts";
import type { ClusterView } from "../cluster_view.ts";
import { messageSpan } from "../message_span.ts";
import type { BrainMetrics } from "../metrics.ts";
import { answerBans } from "./ban_query.ts";
import type { BansQuery, BansSource } from "./ban_query.ts";
import type { RoomAddress, RoomCommand } from "./command.ts";
import { forwardCommand, ORIGIN_HEADER, SUBJECT_HEADER } from "./forward.ts";
import type { ForwardOptions } from "./forward.ts";
import { answerPresence } from "./presence_query.ts";
import { commandName, readCommandEnvelope, readRequest } from "./request.ts";
import type { CommandName, Request, RequestLimits } from "./request.ts";
import { type RoomTable, tooManyPending } from "./room_table.ts";
import type { TableLimits } from "./room_table.ts";

/** Bounds of the desk, from the config. */
export interface DeskLimits extends RequestLimits, TableLimits {
  /** Bytes of all commands that may wait, in all rooms together. */
  readonly pending_bytes: number;
  /** How long the Shield waits for an answer. */
  readonly command_timeout_ms: number;
  /** Bytes of one page of a presence list. */
  readonly page_bytes_max: number;
}

/** What the desk needs. */
export interface CommandDeskOptions extends ForwardOptions {
  readonly spine: Pick<Spine, "request" | "status">;
  readonly view: ClusterView;
  readonly table: RoomTable;
  readonly bans: BansSource;
  readonly limits: DeskLimits;
  readonly metrics: BrainMetrics;
  readonly log: Logger;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** Hears of every command for a room that is served here. */
  readonly onUsed: (at: RoomAddress) => void;
}

/** Where commands come in and are answered. */
export interface CommandDesk {
  /**
   * Takes one command from the Shields. Never throws: a refusal is the reply. Without a reply
   * subject it does nothing.
   */
  handle(message: SpineMessage): void;
  /** Takes one that another Brain has forwarded. */
  handleForwarded(message: SpineMessage): void;
  /** Resolves when every command taken so far is answered. */
  settled(): Promise<void>;
}

/** Where one command stands on its way to a reply. */
interface Errand {
  readonly message: SpineMessage;
  readonly received_ms: number;
  /** For metrics; a client's own text never becomes a label. */
  name: CommandName | "unknown";
  trace_id: string;
  /** Recorded; absent: it is not. */
  readonly span: Span | undefined;
}

interface Desk {
  readonly options: CommandDeskOptions;
  /** How commands go on to their owners. */
  readonly forwards: ForwardOptions;
  /** What is forwarded, and lists that are being read. */
  readonly running: Set<Promise<void>>;
  /** Lists of bans that are being read. */
  lists: number;
  pending_bytes: number;
}

/** Each reads many keys of a bucket. */
const LISTS_MAX = 64;

const utf8 = new TextEncoder();

/** Takes the errand off the books, before its one reply. */
function close(desk: Desk, errand: Errand): void {
  const size_bytes = errand.message.payload.length;
  desk.pending_bytes -= size_bytes;
  desk.options.metrics.pending_commands.dec();
  desk.options.metrics.pending_bytes.dec(size_bytes);
}

function respond(errand: Errand, payload: Uint8Array, log: Logger): void {
  const { message, trace_id } = errand;
  try {
    message.respond(payload);
  } catch (error) {
    // The Shield hears nothing and answers 408; the client repeats with its command_id.
    log.warn("command reply was not sent", { subject: message.subject, trace_id, error });
  }
}

function reply(desk: Desk, errand: Errand, outcome: string | ArqonError): void {
  const { metrics, log, now } = desk.options;
  const refused = outcome instanceof ArqonError;
  const code = refused ? outcome.code : 0;
  const { name, trace_id, message: { subject } } = errand;
  close(desk, errand);
  errand.span?.set({ "arqon.type": name, "arqon.code": code });
  if (refused) errand.span?.fail(outcome.reason);
  errand.span?.end();
  metrics.commands.inc({ name, code: String(code) });
  metrics.command_seconds.observe({ name }, (now() - errand.received_ms) / 1_000);
  if (refused && outcome.code >= 500) {
    log.error("command failed", { subject, trace_id, reason: outcome.reason, error: outcome });
  }
  const ack = refused
    ? {
      code,
      reason: outcome.reason,
      message: outcome.message,
      retry_after_ms: outcome.retry_after_ms,
    }
    : { code, result: utf8.encode(outcome) };
  respond(errand, writeAck(ack), log);
}

function asRefusal(error: unknown): ArqonError {
  return error instanceof ArqonError ? error : new ArqonError("internal", "", { cause: error });
}

function readErrand(
  errand: Errand,
  subject: string,
  limits: RequestLimits,
): { at: RoomAddress; request: Request } {
  const { message } = errand;
  const room = parseRoomSubject(subject);
  if (room === undefined) throw new ArqonError("invalid-room", "the subject names no room");
  const at = { tenant_id: room.tenantId, room_id: room.roomId };
  const envelope = readCommandEnvelope(message.payload, at);
  errand.trace_id = envelope.trace_id;
  errand.name = commandName(envelope.command.name) ?? "unknown";
  return { at, request: readRequest(envelope, message.headers[ORIGIN_HEADER] ?? "", limits) };
}

/** Puts a command into the queue of its room here. Throws an ArqonError when it does not fit. */
function serve(desk: Desk, errand: Errand, at: RoomAddress, command: RoomCommand): void {
  const { table, limits, metrics, onUsed } = desk.options;
  onUsed(at);
  let unlock = () => {};
  table.add(at, {
    command,
    deadline_ms: errand.received_ms + limits.command_timeout_ms,
    answer: (outcome) => {
      unlock();
      reply(desk, errand, outcome);
    },
  });
  metrics.rooms_in_memory.set(table.size);
  const { connection_id } = command.from;
  if (command.kind === "lock" && connection_id !== "") {
    unlock = table.noteLocking(at, connection_id);
  }
}

/** Reads the bans here. Never rejects: a refusal is the reply. */
async function list(
  desk: Desk,
  errand: Errand,
  at: RoomAddress,
  query: BansQuery,
): Promise<void> {
  const { bans, limits: { page_bytes_max }, now } = desk.options;
  if (desk.lists >= LISTS_MAX) {
    return reply(desk, errand, tooManyPending(`${LISTS_MAX} lists of bans are being read`));
  }
  desk.lists++;
  const answered = answerBans(at, query, bans, { now_ms: now(), page_bytes_max });
  const outcome = await answered.catch(asRefusal);
  desk.lists--;
  reply(desk, errand, outcome);
}

/** To the owner of the room; `here` serves it when nobody else is that. */
async function forward(
  desk: Desk,
  errand: Errand,
  at: RoomAddress,
  here: () => void | Promise<void>,
): Promise<void> {
  const { options } = desk;
  const deadline_ms = errand.received_ms + options.limits.command_timeout_ms;
  try {
    const forwarded = await forwardCommand(
      at,
      { message: errand.message, traceparent: errand.span?.traceparent },
      deadline_ms,
      desk.forwards,
      (outcome) => options.metrics.forwarded.inc({ outcome }),
    );
    if (forwarded === "mine") return await here();
    close(desk, errand);
    errand.span?.set({ "arqon.forwarded": true });
    errand.span?.end();
    respond(errand, forwarded.payload, options.log);
  } catch (error) {
    reply(desk, errand, asRefusal(error));
  }
}

function take(desk: Desk, errand: Errand, subject: string, forwarded: boolean): void {
  const { limits, view } = desk.options;
  if (desk.pending_bytes > limits.pending_bytes) {
    throw tooManyPending(`${limits.pending_bytes} bytes of commands wait in this Brain`);
  }
  const { at, request } = readErrand(errand, subject, limits);
  if (request.about === "presence") {
    const answer = answerPresence(at, request.query, view, limits.page_bytes_max);
    return reply(desk, errand, answer);
  }
  // The owner lists bans too: it knows at once of those that were made through its room.
  const here = request.about === "bans"
    ? () => list(desk, errand, at, request.query)
    : () => serve(desk, errand, at, request.command);
  const mine = forwarded || view.ownerOf(at.tenant_id, at.room_id) === view.brain_id;
  const running = mine ? here() : forward(desk, errand, at, here);
  if (running === undefined) return;
  desk.running.add(running);
  running.finally(() => desk.running.delete(running));
}

/** One desk per process. */
export function createCommandDesk(options: CommandDeskOptions): CommandDesk {
  const { metrics, now, table, tracing } = options;
  const forwards = tracing === undefined
    ? options
    : { ...options, spine: tracedRequests(options.spine, tracing) };
  const desk: Desk = { options, forwards, running: new Set(), lists: 0, pending_bytes: 0 };
  const accept = (message: SpineMessage, subject: string, forwarded: boolean) => {
    if (message.reply === undefined) return;
    const size_bytes = message.payload.length;
    metrics.pending_commands.inc();
    metrics.pending_bytes.inc(size_bytes);
    desk.pending_bytes += size_bytes;
    const span = tracing && messageSpan(tracing, options.spine, "command", message, subject);
    const errand: Errand = { message, received_ms: now(), name: "unknown", trace_id: "", span };
    try {
      take(desk, errand, subject, forwarded);
    } catch (error) {
      reply(desk, errand, asRefusal(error));
    }
  };
  return {
    handle: (message) => accept(message, message.subject, false),
    handleForwarded: (message) => accept(message, message.headers[SUBJECT_HEADER] ?? "", true),
    settled: async () => {
      do {
        await Promise.all(desk.running);
        await table.settled();
      } while (desk.running.size > 0);
    },
  };
}
