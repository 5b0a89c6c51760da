/**
 * Spans of a Shield's input (handshakes, messages and commands), of its sends on the Spine, and of deliveries. The
 * sampler decides which messages are recorded. Each span is kept beside its object. Without tracing there is no
 * `Traces`, and callers check for `undefined`.
 */
import { type Ack, ArqonError, type ScannedEnvelope } from "@arqon/proto";
import { Attached } from "../../shared/containers/attached.ts";
import { type Random, traceId } from "../../shared/ids.ts";
import type { RoomClass } from "../../shared/rooms/room_class.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { parseTraceparent, TRACEPARENT } from "../../shared/telemetry/trace_context.ts";
import type { SpanParent, TraceContext } from "../../shared/telemetry/trace_context.ts";
import type { Span, SpanAttributes, Tracing } from "../../shared/telemetry/tracing.ts";
import type { FlushQueue } from "../connection/flush_queue.ts";
import type { Identity } from "../auth/identity.ts";
import type { Caller } from "../message/caller.ts";
import type { Handshake, Observer } from "../message/observers.ts";
import type { MessagePath } from "../message/pipeline.ts";
import type { Traced } from "../message/stamp.ts";
import type { PolicyLog, Verdict } from "../../shared/records/verdict.ts";
import { type ClientContext, clientContext } from "../../shared/telemetry/trace_parent.ts";
import {
  endSent,
  messagingSystem,
  recordedIn,
  roomAttributes,
  sentSpan,
  tracedRequests,
} from "../../shared/telemetry/spine_span.ts";
import type { ShieldStats } from "../stats/stats.ts";
import { logSubject } from "../../shared/subjects/subject.ts";

/** The most lines of `host_log` in a span, and the longest of them in UTF-16 units. */
const LOG_EVENTS_MAX = 16;
const LOG_UNITS_MAX = 512;
const LOG_LEVELS = ["debug", "info", "warn", "error"];

/** Adds the log lines of policies to the message's span as events; lines beyond the limit are only counted. */
function tellLogs(span: Span, logs: readonly PolicyLog[]): void {
  for (const { name, level, message } of logs.slice(0, LOG_EVENTS_MAX)) {
    span.event("arqon.policy.log", {
      "arqon.policy.module": name,
      "arqon.policy.log.level": LOG_LEVELS[level] ?? "info",
      "arqon.policy.log.message": message.slice(0, LOG_UNITS_MAX).toWellFormed(),
    });
  }
  const left_out = logs.length - LOG_EVENTS_MAX;
  if (left_out > 0) span.set({ "arqon.policy.log.left_out": left_out });
}

function attributesOf(caller: Caller, envelope: ScannedEnvelope): SpanAttributes {
  const { event, command, room_id, message_id, size_bytes, payload } = envelope;
  return {
    "messaging.system": "arqon",
    "messaging.operation.name": command === undefined ? "publish" : "command",
    "messaging.operation.type": "send",
    "messaging.destination.name": room_id,
    "arqon.tenant": caller.identity.tenant_id,
    "arqon.room": room_id,
    "arqon.type": event?.type ?? command?.name ?? payload.kind,
    "messaging.message.envelope.size": size_bytes,
    ...(message_id === "" ? {} : { "messaging.message.id": message_id }),
  };
}

function reasonOf(error: unknown): string {
  return error instanceof ArqonError ? error.reason : "internal";
}

/** The traces of one Shield. */
export class Traces implements Traced, Observer {
  readonly #tracing: Tracing;
  readonly #random: Random;
  /** The span of the running schema check; undefined: none is running, or it is not recorded. */
  #schema: Span | undefined;
  /**
   * The spans by the object that they are about: an envelope, a request or a caller. A span that is never ended is
   * collected with its object.
   */
  readonly #spans = new Attached<object, Span>();
  readonly #parents = new Attached<ScannedEnvelope, TraceContext>();

  constructor(tracing: Tracing, random: Random) {
    this.#tracing = tracing;
    this.#random = random;
  }

  /** Records that the envelope is a child of this context, whose trace id it has. */
  place(envelope: ScannedEnvelope, context: TraceContext): void {
    this.#parents.set(envelope, context);
  }

  /** The recorded span of an object; undefined if none is recorded. */
  find(about: object): Span | undefined {
    return this.#spans.get(about);
  }

  connecting(request: Request, caller: Caller): void {
    const span = this.#spans.get(request);
    if (span !== undefined) this.#spans.set(caller, span);
  }

  checking(envelope: ScannedEnvelope): void {
    this.#schema = this.#spans.get(envelope)?.child("schema", "internal");
  }

  checked(_caller: Caller, _envelope: ScannedEnvelope, _steps: number, error: unknown): void {
    if (error !== undefined) this.#schema?.fail(reasonOf(error));
    this.#schema?.end();
    this.#schema = undefined;
  }

  /** Begins the span of a message or command, if it is sampled. */
  begun(caller: Caller, envelope: ScannedEnvelope): void {
    const parent = this.#sampled(envelope);
    if (parent === undefined) return;
    const name = envelope.command === undefined ? "publish" : "command";
    const attributes = attributesOf(caller, envelope);
    this.#spans.set(envelope, this.#tracing.start({ name, kind: "server", parent, attributes }));
  }

  /** A Spine on which fan-out receives messages, with traced deliveries. */
  traced(spine: ReceivingSpine & Pick<Spine, "status">, stats: Receivers): ReceivingSpine {
    return tracedDeliveries(spine, this.#tracing, stats);
  }

  /**
   * The Spine and the logs by which the message path sends and stores, traced; `flushes` reports when the Spine has the
   * sent messages.
   */
  sending(
    spine: MessagePath["spine"] & Pick<Spine, "status">,
    logs: MessagePath["logs"],
    flushes: Pick<FlushQueue, "push">,
  ): { spine: MessagePath["spine"]; logs: MessagePath["logs"] } {
    return {
      spine: tracedSends(spine, flushes, this.#tracing),
      logs: tracedLogs(logs, spine, this.#tracing),
    };
  }

  /** Ends the span of a message, if it has one. */
  confirmed(envelope: ScannedEnvelope): void {
    this.#spans.get(envelope)?.end();
  }

  /**
   * Ends the span of a refused message. The config may ask for a span of each refusal, also when the
   * message was not sampled.
   */
  refused(caller: Caller, envelope: ScannedEnvelope, error: unknown): void {
    let span = this.#spans.get(envelope);
    if (span === undefined) {
      if (!this.#tracing.sampler.takesRefusal(this.#tracing.now_ms())) return;
      const name = envelope.command === undefined ? "publish" : "command";
      span = this.#tracing.start({
        name,
        kind: "server",
        parent: this.#parentOf(envelope),
        attributes: attributesOf(caller, envelope),
      });
      this.#spans.set(envelope, span);
    }
    span.fail(reasonOf(error));
    span.end();
  }

  /** Records what the policies of a chain decided about a message, or about a caller that connects. */
  judged(about: object, { outcomes, logs }: Verdict): void {
    const span = this.#spans.get(about);
    // Policies of the caller's subscriptions run later and are not part of its handshake.
    if (span === undefined || span.ended) return;
    const end_ms = this.#tracing.now_ms();
    let start_ms = end_ms - outcomes.reduce((sum, { duration_ms }) => sum + duration_ms, 0);
    // The policies ran sequentially, and the verdict has just arrived.
    for (const { name, mode, allowed, fault, fuel, duration_ms, code } of outcomes) {
      const policy = span.child("policy", "internal", {
        "arqon.policy.module": name,
        "arqon.policy.mode": mode,
        "arqon.policy.verdict": fault !== undefined ? "error" : allowed ? "allow" : "reject",
        "arqon.policy.fuel": fuel,
        ...(allowed ? {} : { "arqon.policy.code": code }),
        ...(fault === undefined ? {} : { "arqon.policy.fault": fault }),
      }, start_ms);
      if (!allowed) policy.fail(fault === undefined ? "policy-rejected" : "policy-fault");
      policy.end(start_ms += duration_ms);
    }
    tellLogs(span, logs);
  }

  /** Begins the span of a handshake, if it is sampled. */
  asked(request: Request): void {
    const context = parseTraceparent(request.headers.get(TRACEPARENT) ?? "");
    const parent = this.#decide(context, "");
    if (parent === undefined) return;
    const attributes = { "network.protocol.name": "websocket" };
    this.#spans.set(
      request,
      this.#tracing.start({ name: "handshake", kind: "server", parent, attributes }),
    );
  }

  known(request: Request, { tenant_id }: Identity): void {
    this.#spans.get(request)?.set({ "arqon.tenant": tenant_id });
  }

  /** Ends the span of a handshake; `error` is its refusal. */
  greeted({ request }: Handshake, error: ArqonError | undefined): void {
    let span = this.#spans.get(request);
    if (span === undefined) {
      const { sampler, now_ms } = this.#tracing;
      if (error === undefined || !sampler.takesRefusal(now_ms())) return;
      const parent = parseTraceparent(request.headers.get(TRACEPARENT) ?? "") ??
        { trace_id: traceId(this.#random) };
      span = this.#tracing.start({ name: "handshake", kind: "server", parent, attributes: {} });
    }
    span.set({ "arqon.outcome": error === undefined ? "accepted" : reasonOf(error) });
    if (error !== undefined) span.fail(reasonOf(error));
    span.end();
  }

  /** Records that the Brain has answered a command, or refused it. */
  answered(
    _caller: Caller,
    envelope: ScannedEnvelope,
    _class: RoomClass,
    { code, reason }: Pick<Ack, "code" | "reason">,
  ): void {
    const span = this.#spans.get(envelope);
    if (span === undefined) return;
    if (code !== 0) span.fail(reason);
    span.end();
  }

  /** The parent for the span of a recorded message; allocates nothing for any other message. */
  #sampled(envelope: ScannedEnvelope): SpanParent | undefined {
    const { trace_id } = envelope;
    let context: ClientContext = clientContext(envelope);
    // The message has two trace ids. The envelope's is used, as receivers see that one.
    if (context === "invalid" || (context && trace_id !== "" && context.trace_id !== trace_id)) {
      this.#tracing.countInvalid();
      context = undefined;
    }
    if (context === undefined && trace_id !== "") context = this.#parents.get(envelope);
    return this.#decide(context, trace_id);
  }

  #decide(context: TraceContext | undefined, trace_id: string): SpanParent | undefined {
    const { sampler } = this.#tracing;
    if (context !== undefined) {
      return sampler.takesChild(context, this.#tracing.now_ms()) ? context : undefined;
    }
    if (trace_id !== "") {
      return sampler.takesRoot(trace_id, this.#tracing.now_ms()) ? { trace_id } : undefined;
    }
    const bytes = this.#random(16);
    return sampler.takesNew(bytes) ? { trace_id: traceId(bytes) } : undefined;
  }

  #parentOf(envelope: ScannedEnvelope): SpanParent {
    const context = clientContext(envelope) ?? this.#parents.get(envelope);
    const { trace_id } = envelope;
    if (context !== undefined && context !== "invalid") {
      if (trace_id === "" || context.trace_id === trace_id) return context;
    }
    return { trace_id: trace_id === "" ? traceId(this.#random) : trace_id };
  }
}

/** The part of a Spine that fan-out needs. */
type ReceivingSpine = Pick<Spine, "subscribe" | "onEvent">;

/** The counters that give the number of receivers of a message. */
type Receivers = Pick<ShieldStats, "egress_messages" | "egress_events">;

/** Wraps `spine` so that its handlers are traced. `stats` has the number of receivers of a message. */
function tracedDeliveries(
  spine: ReceivingSpine & Pick<Spine, "status">,
  tracing: Tracing,
  stats: Receivers,
): ReceivingSpine {
  const handedOver = () => stats.egress_messages + stats.egress_events;
  const deliver = (message: SpineMessage, handler: (message: SpineMessage) => void): void => {
    const parent = recordedIn(message.headers);
    if (parent === undefined) return handler(message);
    const before = handedOver();
    const span = tracing.start({
      name: "deliver",
      kind: "consumer",
      parent,
      attributes: {
        "messaging.system": messagingSystem(spine),
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": message.subject,
        ...roomAttributes(message.subject),
        "messaging.message.envelope.size": message.payload.length,
      },
    });
    try {
      handler(message);
    } finally {
      span.set({ "arqon.receivers": handedOver() - before });
      span.end();
    }
  };
  return {
    onEvent: (listener) => spine.onEvent(listener),
    subscribe: (pattern, handler, options) =>
      spine.subscribe(pattern, (message) => deliver(message, handler), options),
  };
}

/** Wraps `spine` so that publishes and requests are traced. `flushes` reports when they are confirmed. */
export function tracedSends(
  spine: MessagePath["spine"] & Pick<Spine, "status">,
  flushes: Pick<FlushQueue, "push">,
  tracing: Tracing,
): MessagePath["spine"] {
  return {
    ...tracedRequests(spine, tracing),
    give(subject, payload, headers) {
      const parent = recordedIn(headers);
      if (headers === undefined || parent === undefined) {
        return spine.give(subject, payload, headers);
      }
      const sending = { subject, size_bytes: payload.length, headers, parent };
      const sent = sentSpan(tracing, spine, "send", sending);
      try {
        spine.give(subject, payload, sent.headers);
      } catch (error) {
        endSent(sent, error);
        throw error;
      }
      flushes.push((error) => endSent(sent, error));
    },
  };
}

/** Wraps `logs` so that stored messages are traced; `spine` is the Spine of the logs. */
export function tracedLogs(
  logs: MessagePath["logs"],
  spine: Pick<Spine, "status">,
  tracing: Tracing,
): MessagePath["logs"] {
  return {
    append(append) {
      const { tenant_id, room_id, envelope, headers } = append;
      const parent = recordedIn(headers);
      if (headers === undefined || parent === undefined) return logs.append(append);
      const subject = logSubject(tenant_id, room_id);
      const sending = { subject, size_bytes: envelope.length, headers, parent };
      const sent = sentSpan(tracing, spine, "send", sending);
      sent.span.set({ "arqon.tenant": tenant_id, "arqon.room": room_id });
      const stored = logs.append({ ...append, headers: sent.headers });
      stored.then(() => endSent(sent), (error) => endSent(sent, error));
      return stored;
    },
  };
}
