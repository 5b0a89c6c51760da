/**
 * The Brain's command desk: receives commands from the Spine, queues each at its room, here or at the room's owner, and
 * replies with an `Ack`. `apply.ts` applies commands; the Shield has authorized them.
 */
import { ArqonError, ruleOf, writeAck } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import type { Logger } from "../../../shared/logs/log.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { parseRoomSubject } from "../../../shared/subjects/subject.ts";
import { tracedRequests } from "../../../shared/telemetry/spine_span.ts";
import type { Span, Tracing } from "../../../shared/telemetry/tracing.ts";
import { ORIGIN_HEADER } from "../../../shared/records/spine_headers.ts";
import type { ClusterView } from "../../cluster_view.ts";
import { messageSpan } from "../../telemetry/message_span.ts";
import type { BrainMetrics } from "../../telemetry/metrics.ts";
import type { RoomAddress, RoomCommand } from "../commands/command.ts";
import { forwardCommand, SUBJECT_HEADER } from "./forward.ts";
import type { ForwardOptions } from "./forward.ts";
import { commandName, readCommandEnvelope, readRequest } from "../commands/request.ts";
import type { AnswerOwn, OwnCommands, Request, RequestLimits } from "../commands/request.ts";
import { type RoomTable, tooManyPending } from "../room/room_table.ts";
import type { TableLimits } from "../room/room_table.ts";
import { AT, step } from "../../../shared/watchdog/steps.ts";

/** The limits of the command desk, from the config. */
export interface DeskLimits extends RequestLimits, TableLimits {
  /** The most bytes of queued commands, in all rooms together. */
  readonly pending_bytes: number;
  /** How long the Shield waits for an answer. */
  readonly command_timeout_ms: number;
}

/** The dependencies of the command desk. */
export interface CommandDeskOptions extends ForwardOptions, Pick<Env, "log"> {
  readonly spine: Pick<Spine, "request" | "status">;
  readonly view: ClusterView;
  readonly table: RoomTable;
  readonly limits: DeskLimits;
  readonly metrics: BrainMetrics;
  /** Absent: no tracing. */
  readonly tracing?: Tracing | undefined;
  /** The commands beside the rooms' documents. */
  readonly own: OwnCommands;
  /** Called for every command to a room served here. */
  readonly onUsed: (at: RoomAddress) => void;
}

/** Receives commands from the Spine and answers them. */
export interface CommandDesk {
  /**
   * Handles one command from the Shields. Never throws: a refusal is a reply. Ignores a message without a reply
   * subject.
   */
  handle(message: SpineMessage): void;
  /** Handles one command that another Brain forwarded. */
  handleForwarded(message: SpineMessage): void;
  /** Resolves when every command received so far is answered. */
  settled(): Promise<void>;
}

/** One command that is not answered yet. */
interface PendingCommand {
  readonly message: SpineMessage;
  /** When it arrived, in monotonic ms. */
  readonly received_ms: number;
  /** The command's name for metrics; a client's text never becomes a label. */
  name: string;
  trace_id: string;
  /** The span, when the trace is recorded. */
  readonly span: Span | undefined;
}

interface Desk {
  readonly options: CommandDeskOptions;
  /** How commands are forwarded to the owners of their rooms. */
  readonly forwards: ForwardOptions;
  /** Forwarded commands, and commands beside the documents, that are under way. */
  readonly running: Set<Promise<void>>;
  pending_bytes: number;
}

const utf8 = new TextEncoder();

/** Removes the command from the accounting, before its one reply. */
function close(desk: Desk, pending: PendingCommand): void {
  const size_bytes = pending.message.payload.length;
  desk.pending_bytes -= size_bytes;
  desk.options.metrics.pending_commands.dec();
  desk.options.metrics.pending_bytes.dec(size_bytes);
}

function respond(pending: PendingCommand, payload: Uint8Array, log: Logger): void {
  const { message, trace_id } = pending;
  try {
    message.respond(payload);
  } catch (error) {
    // The Shield receives no reply and answers 408; the client retries with its command_id.
    log.warn("command reply was not sent", { subject: message.subject, trace_id, error });
  }
}

function reply(desk: Desk, pending: PendingCommand, outcome: string | ArqonError): void {
  const { metrics, log, monotonic_ms } = desk.options;
  const refused = outcome instanceof ArqonError;
  const code = refused ? outcome.code : 0;
  const { name, trace_id, message: { subject } } = pending;
  close(desk, pending);
  pending.span?.set({ "arqon.type": name, "arqon.code": code });
  if (refused) pending.span?.fail(outcome.reason);
  pending.span?.end();
  metrics.commands.inc({ name, code: String(code) });
  metrics.command_seconds.observe({ name }, (monotonic_ms() - pending.received_ms) / 1_000);
  // Records of a newer ArqonBus are logged once elsewhere. A reducer rejects with whatever code it likes.
  const is_failure = refused && ruleOf(outcome.reason).code >= 500;
  if (is_failure && outcome.reason !== "incompatible-version") {
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
  respond(pending, writeAck(ack), log);
}

function asRefusal(error: unknown): ArqonError {
  return error instanceof ArqonError ? error : new ArqonError("internal", "", { cause: error });
}

function readPending(
  pending: PendingCommand,
  subject: string,
  { limits, own }: Pick<CommandDeskOptions, "limits" | "own">,
): { at: RoomAddress; request: Request } {
  const { message } = pending;
  const room = parseRoomSubject(subject);
  if (room === undefined) throw new ArqonError("invalid-room", "the subject names no room");
  const at = { tenant_id: room.tenantId, room_id: room.roomId };
  const envelope = readCommandEnvelope(message.payload, at);
  pending.trace_id = envelope.trace_id;
  pending.name = commandName(envelope.command.name, own) ?? "unknown";
  const origin = message.headers[ORIGIN_HEADER] ?? "";
  return { at, request: readRequest(envelope, origin, limits, own) };
}

/** Queues a command at its room on this Brain. Throws an ArqonError if the queue is full. */
function serve(desk: Desk, pending: PendingCommand, at: RoomAddress, command: RoomCommand): void {
  const { table, limits, metrics, onUsed } = desk.options;
  onUsed(at);
  let unlock = () => {};
  table.add(at, {
    command,
    deadline_ms: pending.received_ms + limits.command_timeout_ms,
    answer: (outcome) => {
      unlock();
      reply(desk, pending, outcome);
    },
  });
  metrics.rooms_in_memory.set(table.size);
  const { connection_id } = command.from;
  if (command.kind === "lock" && connection_id !== "") {
    unlock = table.noteLocking(at, connection_id);
  }
}

/** Forwards a command to the owner of its room; serves it here if no other Brain owns it. */
async function forward(
  desk: Desk,
  pending: PendingCommand,
  at: RoomAddress,
  here: () => void | Promise<void>,
): Promise<void> {
  const { options } = desk;
  const deadline_ms = pending.received_ms + options.limits.command_timeout_ms;
  try {
    const forwarded = await forwardCommand(
      at,
      { message: pending.message, traceparent: pending.span?.traceparent },
      deadline_ms,
      desk.forwards,
      (outcome) => options.metrics.forwarded.inc({ outcome }),
    );
    if (forwarded === "mine") return await here();
    close(desk, pending);
    pending.span?.set({ "arqon.forwarded": true });
    pending.span?.end();
    respond(pending, forwarded.payload, options.log);
  } catch (error) {
    reply(desk, pending, asRefusal(error));
  }
}

/** Answers a command beside the document. Never rejects: a refusal is a reply. */
async function answerOwn(
  desk: Desk,
  pending: PendingCommand,
  at: RoomAddress,
  answer: AnswerOwn,
): Promise<void> {
  const deadline_ms = pending.received_ms + desk.options.limits.command_timeout_ms;
  const { headers } = pending.message;
  const answered = (async () => await answer(at, { deadline_ms, headers }))();
  reply(desk, pending, await answered.catch(asRefusal));
}

/** Serves a request on the Brain that owns its room. */
function servedHere(
  desk: Desk,
  pending: PendingCommand,
  at: RoomAddress,
  request: Request,
): () => void | Promise<void> {
  switch (request.about) {
    case "own":
      return () => answerOwn(desk, pending, at, request.answer);
    case "room":
      return () => serve(desk, pending, at, request.command);
    default:
      return request satisfies never;
  }
}

function take(desk: Desk, pending: PendingCommand, subject: string, forwarded: boolean): void {
  const { limits, view } = desk.options;
  if (desk.pending_bytes > limits.pending_bytes) {
    throw tooManyPending(`${limits.pending_bytes} bytes of commands wait in this Brain`);
  }
  const { at, request } = readPending(pending, subject, desk.options);
  const here = servedHere(desk, pending, at, request);
  const is_anywhere = request.about === "own" && request.is_anywhere;
  const mine = forwarded || is_anywhere || view.ownerOf(at.tenant_id, at.room_id) === view.brain_id;
  const running = mine ? here() : forward(desk, pending, at, here);
  if (running === undefined) return;
  desk.running.add(running);
  running.finally(() => desk.running.delete(running));
}

/** Makes the command desk; one per process. */
export function createCommandDesk(options: CommandDeskOptions): CommandDesk {
  const { metrics, monotonic_ms, table, tracing } = options;
  const forwards = tracing === undefined
    ? options
    : { ...options, spine: tracedRequests(options.spine, tracing) };
  const desk: Desk = { options, forwards, running: new Set(), pending_bytes: 0 };
  const accept = (message: SpineMessage, subject: string, forwarded: boolean) => {
    if (message.reply === undefined) return;
    step(AT.command);
    const size_bytes = message.payload.length;
    metrics.pending_commands.inc();
    metrics.pending_bytes.inc(size_bytes);
    desk.pending_bytes += size_bytes;
    const span = tracing && messageSpan(tracing, options.spine, "command", message, subject);
    const received_ms = monotonic_ms();
    const pending: PendingCommand = { message, received_ms, name: "unknown", trace_id: "", span };
    try {
      take(desk, pending, subject, forwarded);
    } catch (error) {
      reply(desk, pending, asRefusal(error));
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
