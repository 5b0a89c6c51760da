/**
 * A tail: the live messages of a room for an operator, as server-sent events. It reads from the Spine, so any Shield
 * can show any room. Its queue is bounded: a slow reader loses the oldest messages and is notified how many. A tail is
 * not a client's subscription: nothing is acknowledged, checked or counted as delivered.
 */
import { ArqonError, DecodeError, encodeTextMessage } from "@arqon/proto";
import type { Env } from "../../../shared/env.ts";
import { AGAIN_HEADER } from "../../../shared/records/room_update.ts";
import type { Spine, SpineEvent } from "../../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../../shared/spine/contract/spine_message.ts";
import { roomSubject } from "../../../shared/subjects/subject.ts";
import { isWithinShare } from "../../../shared/turns/fair_bound.ts";
import { offsetOf } from "../../../shared/spine/contract/durable_log.ts";
import { readForeign } from "../../fanout/room_message.ts";

/** The most tails of one Shield at a time. */
export const TAILS_MAX = 8;
/** The most tails of tenant admins, so that they never block operators. */
export const TENANT_TAILS_MAX = 4;
/** The most queued messages of one reader, and their bytes. */
export const TAIL_MESSAGES = 256;
const TAIL_BYTES = 4_194_304;
const HEARTBEAT_MS = 15_000;
const PLANES = ["in", "out"] as const;

/** What tails need of the process. */
export interface TailsOptions extends Pick<Env, "log"> {
  readonly spine: Pick<Spine, "subscribe" | "onEvent" | "flush">;
}

/** A request of an admin to see a room. */
interface TailRequest {
  readonly tenant_id: string;
  readonly room_id: string;
  /** The user id of the admin. */
  readonly by: string;
  /** Whether that admin operates the whole bus. */
  readonly is_operator: boolean;
}

/** Totals since the start. */
interface TailCounts {
  shown: number;
  dropped: number;
}

const encoder = new TextEncoder();
/** The beginning of the text form; an event has more members in its place. */
const HEAD = '{"op":"msg",';

/** One event; JSON may have line breaks between its tokens. */
function eventOf(text: string, name = ""): Uint8Array {
  const data = text.split(/\r\n|\r|\n/).map((line) => `data: ${line}\n`).join("");
  return encoder.encode(`${name === "" ? "" : `event: ${name}\n`}${data}\n`);
}

/** Why messages of the subjects may be missing from here on; undefined when none are. */
function gapOf(event: SpineEvent, subjects: readonly string[]): string | undefined {
  switch (event.type) {
    case "state":
      // The gap is reported at the disconnect: after a reconnect, messages arrive before it is confirmed.
      return event.status.state === "disconnected" ? "reconnect" : undefined;
    case "gap": {
      const { pattern, reason } = event;
      const is_ours = pattern === undefined || subjects.includes(pattern);
      return is_ours && reason !== "reconnect" ? reason : undefined;
    }
    case "log":
    case "denied":
    case "unstored":
      return undefined;
    default:
      return event satisfies never;
  }
}

/** A message as an event; undefined when it is not a message of this room. */
function messageEvent(request: TailRequest, message: SpineMessage): Uint8Array | undefined {
  try {
    const plain = readForeign(request, message.payload);
    const offset = offsetOf(message);
    const text = encodeTextMessage(offset > 0 ? { ...plain, offset } : plain);
    return eventOf(`{"size_bytes":${message.payload.length},${text.slice(HEAD.length)}`);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

class Tail {
  readonly stream: ReadableStream<Uint8Array>;
  readonly tenant_id: string;
  readonly is_operator: boolean;
  readonly #request: TailRequest;
  readonly #counts: TailCounts;
  #waiting: SpineMessage[] = [];
  #bytes = 0;
  #dropped = 0;
  /** Why messages were lost on the Spine. */
  #gap: string | undefined;
  #beat = false;
  #wake: (() => void) | undefined;
  #ended = false;
  readonly #onEnd: () => void;

  constructor(request: TailRequest, counts: TailCounts, onEnd: () => void) {
    this.#request = request;
    this.is_operator = request.is_operator;
    this.tenant_id = request.tenant_id;
    this.#counts = counts;
    this.#onEnd = onEnd;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(encoder.encode(": tail\n\n")),
      pull: (controller) => this.#pull(controller),
      cancel: () => this.end(),
    }, { highWaterMark: 1 });
  }

  push(message: SpineMessage): void {
    if (this.#ended) return;
    this.#waiting.push(message);
    this.#bytes += message.payload.length;
    while (this.#waiting.length > TAIL_MESSAGES || this.#bytes > TAIL_BYTES) {
      this.#bytes -= this.#waiting.shift()?.payload.length ?? 0;
      this.#dropped++;
      this.#counts.dropped++;
    }
    this.#wake?.();
  }

  /** Notes that messages of the room may have been lost. */
  gap(reason: string): void {
    this.#gap = reason;
    this.#wake?.();
  }

  /** Sends a heartbeat to the reader and to proxies in between. */
  beat(): void {
    this.#beat = true;
    this.#wake?.();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#waiting = [];
    this.#wake?.();
    this.#onEnd();
  }

  #next(): Uint8Array | undefined {
    if (this.#dropped > 0 || this.#gap !== undefined) {
      const gap = { dropped: this.#dropped, reason: this.#gap ?? "slow-reader" };
      this.#dropped = 0;
      this.#gap = undefined;
      return eventOf(JSON.stringify(gap), "gap");
    }
    while (this.#waiting.length > 0) {
      const message = this.#waiting.shift()!;
      this.#bytes -= message.payload.length;
      const event = messageEvent(this.#request, message);
      if (event !== undefined) {
        this.#counts.shown++;
        return event;
      }
    }
    if (!this.#beat) return undefined;
    this.#beat = false;
    return encoder.encode(":\n");
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    while (!this.#ended) {
      const event = this.#next();
      if (event !== undefined) return controller.enqueue(event);
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
    }
    try {
      controller.close();
    } catch {
      // The reader has cancelled the stream.
    }
  }
}

/** All tails of one Shield. */
export class Tails {
  readonly counts: TailCounts = { shown: 0, dropped: 0 };
  readonly #options: TailsOptions;
  readonly #open = new Set<Tail>();
  #closed = false;

  constructor(options: TailsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /**
   * Opens a tail of events from now on, until the reader cancels or the process drains. Rejects with
   * `too-many-pending`, `draining` or `spine-unavailable`.
   */
  async open(request: TailRequest): Promise<ReadableStream<Uint8Array>> {
    const { spine, log } = this.#options;
    if (this.#closed) throw new ArqonError("draining", "", { retry_after_ms: 1_000 });
    this.#requireSpace(request);
    const { tenant_id, room_id, by } = request;
    const ends: (() => void)[] = [];
    const tail = new Tail(request, this.counts, () => {
      this.#open.delete(tail);
      for (const end of ends) end();
      log.info("the tail of a room has ended", { tenant_id, room: room_id, by });
    });
    this.#open.add(tail);
    log.info("an operator reads a room", { tenant_id, room: room_id, by });
    try {
      const subjects = PLANES.map((plane) => roomSubject(plane, tenant_id, room_id));
      for (const subject of subjects) {
        const subscription = spine.subscribe(subject, (message) => {
          // The header marks a change that is repeated for clients that missed it; a tail shows each change only once.
          if (message.headers[AGAIN_HEADER] === undefined) tail.push(message);
        });
        ends.push(() => subscription.unsubscribe());
      }
      ends.push(spine.onEvent((event) => {
        const reason = gapOf(event, subjects);
        if (reason !== undefined) tail.gap(reason);
      }));
      const beats = setInterval(() => tail.beat(), HEARTBEAT_MS);
      ends.push(() => clearInterval(beats));
      // After the flush, the tail has everything that is published after the answer.
      await spine.flush();
    } catch (error) {
      tail.end();
      throw error;
    }
    return tail.stream;
  }

  #requireSpace({ is_operator, tenant_id }: TailRequest): void {
    const of_tenants = [...this.#open].filter((tail) => !tail.is_operator);
    const own = of_tenants.filter((tail) => tail.tenant_id === tenant_id);
    const is_full = this.#open.size >= TAILS_MAX;
    const is_within = isWithinShare(TENANT_TAILS_MAX, of_tenants.length, own.length);
    if (!is_full && (is_operator || is_within)) return;
    const detail = is_full
      ? `this Shield has ${TAILS_MAX} tails`
      : `this Shield has ${of_tenants.length} tails of tenants' admins, ${own.length} of this one's`;
    throw new ArqonError("too-many-pending", detail, { retry_after_ms: 1_000 });
  }

  /** Ends all tails, as the process drains; later ones are refused. */
  close(): void {
    this.#closed = true;
    for (const tail of [...this.#open]) tail.end();
  }
}
