/**
 * Sends copies to the Spine from a limited buffer, in small pieces between sockets and primary traffic. Confirmed
 * copies count as published; refused (`denied` afterwards, too) or possibly lost ones as failed. Primary traffic is not
 * affected: its bytes have precedence, and its flushes exclude the mirror's.
 */
import { setImmediate } from "node:timers";
import type { Env } from "../../shared/env.ts";
import { nextTurn } from "../../shared/turns/next_turn.ts";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { SequenceTable } from "../../shared/containers/sequence_table.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineHeaders } from "../../shared/spine/contract/spine_message.ts";
import { shadowSubject, type Subject } from "../../shared/subjects/subject.ts";
import type { CompiledRule } from "./rules.ts";

/** The most copies and bytes in one turn. */
const TURN_MESSAGES = 128;
const TURN_BYTES = 262_144;
/** The most turns with unconfirmed copies at a time; further copies wait in the buffer. */
const WINDOW_TURNS = 8;
/** Pause while the Spine has too much to do. */
const BUSY_MS = 5;
/** How long a tenant's copies fail at once after its shadow subject was denied, in ms; then it is tried again. */
const DENIED_MS = 1_000;
/** The most remembered denied tenants; beyond that, the oldest are retried at once. */
const DENIED_MAX = 4_096;
/** The least time between two log lines about failed copies, in ms. */
const LOG_MS = 10_000;
/** The share of the Spine's pending bytes above which copies wait: the rest is the primary's. */
const PENDING_SHARE = 0.5;

/** One message to be copied. */
export interface ShadowCopy {
  readonly rule: CompiledRule;
  readonly subject: Subject;
  readonly tenant_id: string;
  /** The routed form, kept until it is sent, without copying its bytes. */
  readonly envelope: Uint8Array;
  readonly headers: SpineHeaders | undefined;
}

/** The dependencies and limits of the sender. */
interface SenderOptions extends Pick<Env, "log" | "monotonic_ms"> {
  readonly spine: Pick<Spine, "publish" | "flush" | "status" | "onEvent">;
  readonly buffer_messages: number;
  readonly buffer_bytes: number;
  /** The limit of the Spine's pending bytes, including the primary's. */
  readonly pending_bytes_max: number;
  /** Called for each copy right before it is given to the Spine. */
  readonly onSend: (copy: ShadowCopy) => void;
}

/** Unconfirmed copies of one turn. Denials arrive in the order of sending. */
interface Turn {
  readonly sent: { readonly copy: ShadowCopy; denied: boolean }[];
  /** The position in the turn before which no more denials can arrive. */
  cursor: number;
  /** The turn's number among the unconfirmed ones. */
  number: number;
}

/** The sender of one process. */
export class ShadowSender {
  readonly #options: SenderOptions;
  readonly #stopEvents: () => void;
  #waiting: ShadowCopy[] = [];
  #head = 0;
  readonly #messages: FairBound;
  readonly #bytes: FairBound;
  #scheduled = false;
  #busy: ReturnType<typeof setTimeout> | undefined;
  readonly #unconfirmed = new SequenceTable<Turn>();
  /** Called when a turn has been confirmed or has failed; set once the sender is closed. */
  #onConfirmed: (() => void) | undefined;
  /** Until when a tenant's copies fail at once, in monotonic ms. */
  readonly #denied = new BoundedMap<string, number>(DENIED_MAX);
  #failed = 0;
  #logged_ms = -Infinity;
  #closed = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#messages = new FairBound(options.buffer_messages);
    this.#bytes = new FairBound(options.buffer_bytes);
    this.#stopEvents = options.spine.onEvent((event) => {
      if (event.type === "denied") this.#onDenied(event.subject);
    });
  }

  get messages(): number {
    return this.#messages.total;
  }

  /** The bytes of queued copies. */
  get bytes(): number {
    return this.#bytes.total;
  }

  /** Takes a copy, or counts it as dropped. Never throws. */
  push(copy: ShadowCopy): void {
    const { tenant_id, envelope: { length } } = copy;
    const has_room = this.#messages.hasRoom(tenant_id) && this.#bytes.hasRoom(tenant_id, length);
    if (this.#closed || !has_room) {
      copy.rule.totals.dropped++;
      return;
    }
    this.#waiting.push(copy);
    this.#messages.add(tenant_id, 1);
    this.#bytes.add(tenant_id, length);
    this.#schedule();
  }

  /** Sends the queue, as far as the Spine accepts it. Resolves when all of it is confirmed or failed. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#busy);
    while (this.messages > 0 && !this.#isBusy()) this.#turn();
    while (this.messages > 0) this.#take().rule.totals.dropped++;
    while (this.#unconfirmed.size > 0) {
      await new Promise<void>((resolve) => void (this.#onConfirmed = resolve));
    }
    this.#stopEvents();
  }

  #schedule(later: (job: () => void) => void = setImmediate): void {
    if (this.#scheduled || this.messages === 0 || this.#busy !== undefined || this.#closed) return;
    if (this.#unconfirmed.size >= WINDOW_TURNS) return;
    this.#scheduled = true;
    later(() => {
      this.#scheduled = false;
      if (this.#closed) return;
      if (this.#isBusy()) return this.#pause();
      this.#turn();
      this.#schedule(nextTurn);
    });
  }

  #isBusy(): boolean {
    const { spine, pending_bytes_max } = this.#options;
    return spine.status.pending_bytes > pending_bytes_max * PENDING_SHARE;
  }

  #pause(): void {
    this.#busy = setTimeout(() => {
      this.#busy = undefined;
      this.#schedule();
    }, BUSY_MS);
  }

  #take(): ShadowCopy {
    const copy = this.#waiting[this.#head]!;
    this.#head++;
    this.#messages.add(copy.tenant_id, -1);
    this.#bytes.add(copy.tenant_id, -copy.envelope.length);
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    } else if (this.#head >= 4_096) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return copy;
  }

  #turn(): void {
    const turn: Turn = { sent: [], cursor: 0, number: 0 };
    const now_ms = this.#options.monotonic_ms();
    let bytes = 0;
    for (let n = 0; n < TURN_MESSAGES && bytes < TURN_BYTES && this.messages > 0; n++) {
      const copy = this.#take();
      bytes += copy.envelope.length;
      if (this.#isDenied(copy.tenant_id, now_ms)) this.#fail(copy, 1, "denied");
      else if (this.#send(copy)) turn.sent.push({ copy, denied: false });
    }
    if (turn.sent.length === 0) return;
    turn.number = this.#unconfirmed.add(turn);
    void this.#confirm(turn);
  }

  #send(copy: ShadowCopy): boolean {
    const { spine, onSend } = this.#options;
    try {
      onSend(copy);
      spine.publish(shadowSubject(copy.subject), shadowEnvelope(copy.envelope), {
        ...copy.headers,
        [SHADOW_HEADER]: "true",
      });
      return true;
    } catch (error) {
      this.#fail(copy, 1, error);
      return false;
    }
  }

  /** Waits until the Spine has a turn's copies. Never rejects. */
  async #confirm(turn: Turn): Promise<void> {
    let problem: unknown;
    try {
      await this.#options.spine.flush();
    } catch (error) {
      problem = error;
    }
    // Denials arrive before the confirmation; this waits until their listeners have run.
    await new Promise<void>((resolve) => void setImmediate(resolve));
    this.#unconfirmed.take(turn.number);
    for (const { copy, denied } of turn.sent) {
      if (denied) continue;
      if (problem === undefined) copy.rule.totals.published++;
      else this.#fail(copy, 1, problem);
    }
    this.#onConfirmed?.();
    this.#schedule();
  }

  #onDenied(subject: string): void {
    for (const turn of this.#unconfirmed.values()) {
      for (let index = turn.cursor; index < turn.sent.length; index++) {
        const sent = turn.sent[index]!;
        if (sent.denied || shadowSubject(sent.copy.subject) !== subject) continue;
        sent.denied = true;
        turn.cursor = index + 1;
        this.#pauseTenant(sent.copy.tenant_id);
        return this.#fail(sent.copy, 1, `NATS denies ${subject}`);
      }
    }
  }

  #pauseTenant(tenant_id: string): void {
    this.#denied.renew(tenant_id, this.#options.monotonic_ms() + DENIED_MS);
  }

  #isDenied(tenant_id: string, now_ms: number): boolean {
    if (this.#denied.size === 0) return false;
    const until_ms = this.#denied.get(tenant_id);
    if (until_ms === undefined) return false;
    if (now_ms < until_ms) return true;
    this.#denied.delete(tenant_id);
    return false;
  }

  #fail({ rule, tenant_id, subject }: ShadowCopy, messages: number, error: unknown): void {
    const { log, monotonic_ms } = this.#options;
    rule.totals.failed += messages;
    this.#failed += messages;
    const now_ms = monotonic_ms();
    if (now_ms - this.#logged_ms < LOG_MS) return;
    log.warn("mirrored messages do not reach the shadow; the primary is not affected", {
      rule: rule.prefix,
      tenant_id,
      subject: shadowSubject(subject),
      failed: this.#failed,
      error,
    });
    this.#logged_ms = now_ms;
    this.#failed = 0;
  }
}

// The bytes of a mirrored envelope: the routed ones and one more header, without decoding. Protobuf allows the entries
// of a map anywhere, so the new one is at the end.

const FIELD_HEADERS = 0x2a;
const FIELD_TRACE_ID = 0x0a;
const TRACE_ID_BYTES = 32;

/** The header that marks mirrored traffic, in the envelope and beside it on the Spine. */
const SHADOW_HEADER = "x-arqon-shadow";

/** Encodes a short text as a field: tag, one byte of length, text. */
function field(tag: number, body: Uint8Array): number[] {
  return [tag, body.length, ...body];
}

const encoder = new TextEncoder();
const ENTRY = new Uint8Array(field(
  FIELD_HEADERS,
  new Uint8Array([
    ...field(0x0a, encoder.encode(SHADOW_HEADER)),
    ...field(0x12, encoder.encode("true")),
  ]),
));

/** A new envelope with the header `x-arqon-shadow: true`. A sender cannot have set that header itself. */
export function shadowEnvelope(routed: Uint8Array): Uint8Array {
  const shadow = new Uint8Array(routed.length + ENTRY.length);
  shadow.set(routed);
  shadow.set(ENTRY, routed.length);
  return shadow;
}

const decoder = new TextDecoder();

/**
 * The trace id of an envelope as the Shield writes it, where it is the first field; undefined for any
 * other envelope.
 */
export function routedTraceId(routed: Uint8Array): string | undefined {
  if (routed[0] !== FIELD_TRACE_ID || routed[1] !== TRACE_ID_BYTES) return undefined;
  return decoder.decode(routed.subarray(2, 2 + TRACE_ID_BYTES));
}
