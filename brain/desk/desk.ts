/**
 * The Brain's command desk: receives commands from the Spine, passes each to its capability, here or at the room's
 * owner, and replies with an `Ack`. The Shield has authorized them.
 */
import { ArqonError, ruleOf, writeAck } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type {
  SpineHeaders,
  SpineMessage,
  Subscription,
} from "../../shared/spine/contract/spine_message.ts";
import { ALL_COMMANDS, parseRoomSubject, processSubject } from "../../shared/subjects/subject.ts";
import {
  messagingSystem,
  recordedIn,
  roomAttributes,
  tracedRequests,
} from "../../shared/telemetry/spine_span.ts";
import type { Span, Tracing } from "../../shared/telemetry/tracing.ts";
import { CLAIMS_HEADER, ORIGIN_HEADER, ROLE_HEADER } from "../../shared/records/caller_headers.ts";
import type { ClusterView, RoomAddress } from "../cluster_view.ts";
import { tooManyPending } from "./command_data.ts";
import { commandName, readCommandEnvelope, readRequest } from "./request.ts";
import type { AnswerOwn, OwnCommands, Request } from "./request.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import { TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import { Histogram, metricsOn, type Registry } from "../../shared/metrics/metrics.ts";

/** The dependencies of the command desk. */
export interface DeskOptions extends Pick<Env, "registry" | "log" | "monotonic_ms"> {
  readonly spine: Pick<Spine, "request" | "status" | "subscribe" | "flush">;
  readonly view: ClusterView;
  readonly config: Pick<Config, "brain" | "limits">;
  /** Absent: no tracing. */
  readonly tracing?: Tracing | undefined;
  readonly own: OwnCommands;
  /** Called once in a drain: ends what may wait for an event, so that every command is answered. Never rejects. */
  readonly stop: () => Promise<unknown>;
}

/** A running desk. */
export interface CommandDesk {
  /**
   * Stops accepting commands from the Shields, then answers the pending ones and those that other Brains still forward.
   * Call it after the others have been notified. Leaves the Spine open. Call it once.
   */
  drain(): Promise<void>;
}

/** The queue group of all Brains: each command is delivered to one of them first. */
const QUEUE = "brain";

/** One command that is not answered yet. */
interface PendingCommand {
  readonly message: SpineMessage;
  /** When it arrived, in monotonic ms. */
  readonly received_ms: number;
  /** The command's name for metrics; a client's text never becomes a label. */
  name: string;
  trace_id: string;
  /** The tenant whose bytes it counts as; absent: it is not counted. */
  counted?: string | undefined;
  /** The span, when the trace is recorded. */
  readonly span: Span | undefined;
}

interface Desk {
  readonly options: DeskOptions;
  readonly metrics: DeskMetrics;
  /** How commands are forwarded to the owners of their rooms. */
  readonly forwards: ForwardOptions;
  /** The bytes of queued commands, in all rooms together. */
  readonly bytes: FairBound;
  /** Called when no command is pending. */
  onIdle: () => void;
}

const utf8 = new TextEncoder();

/** Removes the command from the accounting, before its one reply. */
function close(desk: Desk, pending: PendingCommand): void {
  const size_bytes = pending.message.payload.length;
  if (pending.counted !== undefined) desk.bytes.add(pending.counted, -size_bytes);
  if (desk.bytes.total === 0) desk.onIdle();
  desk.metrics.pending_commands.dec();
  desk.metrics.pending_bytes.dec(size_bytes);
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
  const { metrics, options: { log, monotonic_ms } } = desk;
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
  { bytes, options: { own } }: Desk,
  pending: PendingCommand,
  subject: string,
): { at: RoomAddress; request: Request } {
  const { message } = pending;
  const room = parseRoomSubject(subject);
  if (room === undefined) throw new ArqonError("invalid-room", "the subject names no room");
  const at = { tenant_id: room.tenantId, room_id: room.roomId };
  if (!bytes.take(at.tenant_id, message.payload.length)) {
    throw tooManyPending(
      `${bytes.of(at.tenant_id)} bytes of this tenant's commands wait here`,
    );
  }
  pending.counted = at.tenant_id;
  const envelope = readCommandEnvelope(message.payload, at);
  pending.trace_id = envelope.trace_id;
  const name = commandName(envelope.command.name, own);
  pending.name = name ?? "unknown";
  const origin = message.headers[ORIGIN_HEADER] ?? "";
  return { at, request: readRequest(envelope, name, origin, own) };
}

/** Forwards a command to the owner of its room; serves it here if no other Brain owns it. */
async function forward(
  desk: Desk,
  pending: PendingCommand,
  at: RoomAddress,
  here: () => Promise<void>,
): Promise<void> {
  const { options, metrics, forwards } = desk;
  const deadline_ms = pending.received_ms + forwards.command_timeout_ms;
  try {
    const forwarded = await forwardCommand(
      at,
      { message: pending.message, traceparent: pending.span?.traceparent },
      deadline_ms,
      forwards,
      (outcome) => metrics.forwarded.inc({ outcome }),
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

/** Answers a command on this Brain. Never rejects: a refusal is a reply. */
async function answerHere(
  desk: Desk,
  pending: PendingCommand,
  at: RoomAddress,
  answer: AnswerOwn,
): Promise<void> {
  const deadline_ms = pending.received_ms + desk.forwards.command_timeout_ms;
  const { headers } = pending.message;
  let outcome: string | ArqonError;
  try {
    outcome = await answer(at, { deadline_ms, headers });
  } catch (error) {
    outcome = asRefusal(error);
  }
  reply(desk, pending, outcome);
}

function take(desk: Desk, pending: PendingCommand, subject: string, forwarded: boolean): void {
  const { options: { view } } = desk;
  const { at, request: { is_anywhere, answer } } = readPending(desk, pending, subject);
  const here = () => answerHere(desk, pending, at, answer);
  const mine = forwarded || is_anywhere || view.ownerOf(at.tenant_id, at.room_id) === view.brain_id;
  void (mine ? here() : forward(desk, pending, at, here));
}

function accept(desk: Desk, message: SpineMessage, subject: string, forwarded: boolean): void {
  if (message.reply === undefined) return;
  step(AT.command);
  const { metrics, options: { spine, tracing, monotonic_ms } } = desk;
  const size_bytes = message.payload.length;
  metrics.pending_commands.inc();
  metrics.pending_bytes.inc(size_bytes);
  const span = tracing && messageSpan(tracing, spine, "command", message, subject);
  const received_ms = monotonic_ms();
  const pending: PendingCommand = { message, received_ms, name: "unknown", trace_id: "", span };
  try {
    take(desk, pending, subject, forwarded);
  } catch (error) {
    reply(desk, pending, asRefusal(error));
  }
}

/** Resolves when every command received so far is answered. */
async function settled(desk: Desk): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  desk.onIdle = resolve;
  if (desk.bytes.total > 0) await promise;
}

/**
 * Starts the command desk; resolves once it accepts commands. One per process. Rejects with `spine-unavailable` if it
 * cannot subscribe.
 */
export async function startDesk(options: DeskOptions): Promise<CommandDesk> {
  const { spine, view, tracing, log, monotonic_ms, config: { brain, limits } } = options;
  const requests = tracing === undefined ? spine : tracedRequests(spine, tracing);
  const { command_timeout_ms } = limits;
  const desk: Desk = {
    options,
    metrics: createDeskMetrics(options.registry),
    forwards: { spine: requests, view, monotonic_ms, command_timeout_ms },
    bytes: new FairBound(brain.pending_bytes),
    onIdle: () => {},
  };
  const forwarded = spine.subscribe(
    processSubject("commands", view.brain_id),
    (message) => accept(desk, message, message.headers[SUBJECT_HEADER] ?? "", true),
  );
  const commands = spine.subscribe(
    ALL_COMMANDS,
    (message) => accept(desk, message, message.subject, false),
    { queue: QUEUE },
  );
  const served = (subscription: Subscription) =>
    subscription.drain().catch((error) => log.warn("commands may be lost in a drain", { error }));
  const drain = async (): Promise<void> => {
    await Promise.all([options.stop(), served(commands)]);
    await settled(desk);
    // Commands that were under way when the others were notified that this Brain stops.
    await served(forwarded);
    await settled(desk);
  };
  try {
    await spine.flush();
  } catch (error) {
    await drain();
    throw error;
  }
  return { drain };
}

/** The operations on a message, and the kinds of their spans. */
const KINDS = { command: "server", tap: "consumer" } as const;

/**
 * Starts the span of a message; undefined if its trace is not recorded. `spine` delivered the message; `subject` is
 * that at the first Brain.
 */
export function messageSpan(
  tracing: Tracing,
  spine: Pick<Spine, "status">,
  name: keyof typeof KINDS,
  { headers, payload }: Pick<SpineMessage, "headers" | "payload">,
  subject: string,
): Span | undefined {
  const parent = recordedIn(headers);
  if (parent === undefined) return undefined;
  const attributes = {
    "messaging.system": messagingSystem(spine),
    "messaging.operation.name": name,
    "messaging.operation.type": "process",
    "messaging.destination.name": subject,
    ...roomAttributes(subject),
    "messaging.message.envelope.size": payload.length,
  };
  return tracing.start({ name, kind: KINDS[name], parent, attributes });
}

// A forwarded command is served where it arrives, even if the owner has changed. So commands are never forwarded in
// circles, and the compare-and-set decides between two Brains that both believe they are the owner.

/** Spine header with the original subject of a forwarded command. */
const SUBJECT_HEADER = "x-arqon-subject";

/** The most owners that a command is forwarded to before this Brain serves it itself. */
const OWNERS_MAX = 4;

interface ForwardOptions {
  readonly spine: Pick<Spine, "request">;
  readonly view: Pick<ClusterView, "brain_id" | "ownerOf" | "suspect">;
  /** Monotonic milliseconds, for deadlines. */
  readonly monotonic_ms: () => number;
  readonly command_timeout_ms: number;
}

interface Forwardable {
  readonly message: SpineMessage;
  /** The trace context of the forwarding span; absent: not traced. */
  readonly traceparent?: string | undefined;
}

type ForwardOutcome = "answered" | "timed-out" | "failed" | "rerouted";

/** The owner's reply, or "mine": no other Brain owns the room (now). */
type Forwarded = SpineMessage | "mine";

const kept = (headers: SpineHeaders, name: string): SpineHeaders => {
  const value = headers[name];
  return value === undefined ? {} : { [name]: value };
};

/**
 * Sends the command to the owner. Rejects with `command-timeout` without an answer before `deadline_ms`; the command
 * may have run. `onOutcome` is called for every Brain that was tried.
 */
async function forwardCommand(
  at: RoomAddress,
  { message, traceparent }: Forwardable,
  deadline_ms: number,
  options: ForwardOptions,
  onOutcome: (outcome: ForwardOutcome) => void,
): Promise<Forwarded> {
  const { spine, view, monotonic_ms, command_timeout_ms } = options;
  const headers: SpineHeaders = {
    [ORIGIN_HEADER]: message.headers[ORIGIN_HEADER] ?? "",
    [SUBJECT_HEADER]: message.subject,
    ...kept(message.headers, ROLE_HEADER),
    ...kept(message.headers, CLAIMS_HEADER),
    ...(traceparent === undefined ? {} : { [TRACEPARENT]: traceparent }),
  };
  for (let tries = 0; tries < OWNERS_MAX; tries++) {
    const owner = view.ownerOf(at.tenant_id, at.room_id);
    if (owner === view.brain_id) return "mine";
    const timeout_ms = deadline_ms - monotonic_ms();
    if (timeout_ms <= 0) throw new ArqonError("command-timeout", `${command_timeout_ms} ms`);
    try {
      const subject = processSubject("commands", owner);
      const reply = await spine.request(subject, message.payload, { timeout_ms, headers });
      onOutcome("answered");
      return reply;
    } catch (error) {
      const reason = error instanceof ArqonError ? error.reason : "internal";
      if (reason !== "brain-unavailable") {
        onOutcome(reason === "command-timeout" ? "timed-out" : "failed");
        if (reason !== "command-timeout") throw error;
        throw new ArqonError("command-timeout", `${command_timeout_ms} ms`, { cause: error });
      }
      // There is no responder: the command has not run, and the next owner may serve it.
      onOutcome("rerouted");
      view.suspect(owner);
    }
  }
  return "mine";
}

type DeskMetrics = ReturnType<typeof createDeskMetrics>;

/** Registers them; once per registry. */
function createDeskMetrics(registry: Registry) {
  const { counter, gauge } = metricsOn(registry);
  return {
    pending_commands: gauge(
      "brain_pending_commands",
      "Commands taken and not yet answered; brain.pending_commands bounds them per room.",
    ),
    pending_bytes: gauge(
      "brain_pending_bytes",
      "Bytes of the commands taken and not yet answered.",
    ),
    // The name of a command that the Brain serves, otherwise "unknown"; the code of the ACK.
    commands: counter(
      "brain_commands_total",
      "Commands answered by the Brain that served them, by name and code (0 is accepted).",
      "name",
      "code",
    ),
    // `outcome`: answered, timed-out, failed or rerouted.
    forwarded: counter(
      "brain_commands_forwarded_total",
      "Commands sent on to the Brain that owns their room, by outcome.",
      "outcome",
    ),
    command_seconds: new Histogram({
      name: "brain_command_duration_seconds",
      help: "From taking a command to its answer.",
      labelNames: ["name"],
      buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
      registers: [registry],
    }),
  };
}
