/**
 * Passes publishes and commands from the room to the outbox: id, frame, signature, abort, and the timer that wakes the
 * outbox. Refuses requests that no bus can decode, whatever its limits.
 */
import { ArqonError, encodeUtf8, Opcode, signingInput, writeRequest } from "@arqon/proto";
import type { Ack, EnvelopeInput, Welcome } from "@arqon/proto";
import { SIGNER_SHARE } from "../wire/bounds.ts";
import type { Settings } from "../options/options.ts";
import { Outbox, type OutboxOptions, type OutboxRequest } from "./outbox.ts";
import type { PortRequest } from "./room_request.ts";
import { SIGNATURE_BYTES, SIGNATURE_FIELD_BYTES, signedFrame, type Signer } from "./signing.ts";
import { onAbort, TIMER_MS_MAX } from "../time/clock.ts";
import { textOf } from "../wire/wire_error.ts";

/** The greatest values of `[limits]` `field_bytes`, `headers` and `header_bytes`. */
const TEXT_BYTES_MAX = 65_536;
const HEADERS_MAX = 1_024;
const HEADER_BYTES_MAX = 1_048_576;
/** Or none. */
const TRACE_ID = /^((?!0{32})[0-9a-f]{32})?$/;

/** Throws `invalid-field`, `too-many-headers` or `repeated-field`. */
function checkOutgoing(envelope: EnvelopeInput): void {
  const { trace_id = "", message_id = "", headers, event, command } = envelope;
  if (!TRACE_ID.test(trace_id)) {
    throw new ArqonError(
      "invalid-field",
      `trace_id ${trace_id.slice(0, 100)}: 32 lowercase hex digits, not all zero`,
    );
  }
  const { data: _, ...payload } = { ...event, ...command } as Record<string, unknown>;
  const texts = Object.entries({ message_id, ...payload });
  const all = Object.entries(headers ?? {});
  // They would be sent as U+FFFD, and different ids as the same one.
  if (/\p{Cs}/u.test(`${[texts, all]}`)) {
    throw new ArqonError("invalid-field", "lone surrogate");
  }
  for (const [name, value] of texts) {
    const text = `${value}`;
    // A UTF-16 unit has at most three bytes: short texts are not encoded a second time.
    if (3 * text.length > TEXT_BYTES_MAX && encodeUtf8(text).length > TEXT_BYTES_MAX) {
      throw new ArqonError("invalid-field", `${name}: more than ${TEXT_BYTES_MAX} bytes`);
    }
  }
  const size_bytes = encodeUtf8(all.flat().join("")).length;
  if (all.length > HEADERS_MAX || size_bytes > HEADER_BYTES_MAX) {
    const detail = `${all.length} headers with ${size_bytes} bytes`;
    throw new ArqonError(
      "too-many-headers",
      `${detail}; at most ${HEADERS_MAX} with ${HEADER_BYTES_MAX}`,
    );
  }
  if (new Set(all.map(([name]) => name.toLowerCase())).size < all.length) {
    throw new ArqonError("repeated-field", "a header name twice (in any case)");
  }
}

type RequestSettings = OutboxOptions & Pick<Settings, "request_timeout_ms" | "signer">;

/** The pending requests of one connection. */
export class Requests {
  readonly outbox: Outbox;
  readonly #settings: RequestSettings;
  readonly #nextId: () => number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake_at_ms = Infinity;

  /** `nextId` returns ascending request ids. */
  constructor(settings: RequestSettings, nextId: () => number) {
    this.#settings = settings;
    this.#nextId = nextId;
    this.outbox = new Outbox(settings);
  }

  /** Sends a request; `welcome` is the last one. Rejects as `Room.publish` says. */
  async send(request: PortRequest, welcome: Welcome | undefined): Promise<Ack | undefined> {
    const { envelope, answered, repeatable, signal } = request;
    const { room_id: room = "" } = envelope;
    signal?.throwIfAborted();
    checkOutgoing(envelope);
    const id = this.#nextId();
    const asking = answered ? { ...envelope, request_id: id, ack_requested: true } : envelope;
    const frame = writeRequest(asking, Opcode.PUB);
    const { signer, elapsed, request_timeout_ms } = this.#settings;
    const size_bytes = frame.length + (!signer ? 0 : SIGNATURE_FIELD_BYTES);
    const max_bytes = welcome?.max_frame_bytes ?? Infinity;
    if (size_bytes > max_bytes) {
      const detail = `${size_bytes} bytes; the Shield takes ${max_bytes}`;
      throw new ArqonError("message-too-large", detail);
    }
    const { promise, ...settle } = Promise.withResolvers<Ack | undefined>();
    const timeout_ms = request.timeout_ms ?? request_timeout_ms;
    const begun_ms = elapsed();
    const first_ms = signer ? Math.ceil(timeout_ms * SIGNER_SHARE) : timeout_ms;
    const waiting: OutboxRequest = {
      id,
      room,
      answered,
      frame,
      repeatable,
      unsigned: !!signer,
      timeout_ms: first_ms,
      deadline_ms: begun_ms + first_ms,
      ...settle,
    };
    const stop = onAbort(signal, () => {
      this.outbox.cancel(waiting);
      settle.reject(signal?.reason);
    });
    try {
      // It is queued at its position at once.
      this.outbox.add(waiting);
      if (signer) {
        // An envelope with only the payload encodes exactly its field on the wire.
        const { event, command, message_id = "" } = envelope;
        const payload = writeRequest({ event, command });
        const input = signingInput(welcome?.tenant_id ?? "", room, message_id, payload);
        void this.#sign(signer, input, waiting, begun_ms + timeout_ms, timeout_ms);
      }
      this.schedule();
      return await promise;
    } finally {
      stop();
    }
  }

  /** Sets the timer for the outbox's next `wake`. */
  schedule(): void {
    const wake_ms = this.outbox.nextWake();
    if (wake_ms === undefined || wake_ms >= this.#wake_at_ms) return;
    clearTimeout(this.#timer);
    this.#wake_at_ms = wake_ms;
    const wait_ms = Math.min(TIMER_MS_MAX, Math.max(0, wake_ms - this.#settings.elapsed()));
    this.#timer = setTimeout(() => {
      this.#wake_at_ms = Infinity;
      this.outbox.wake();
      this.schedule();
    }, wait_ms);
  }

  /** Rejects every request, and accepts no more. */
  close(error: ArqonError): void {
    clearTimeout(this.#timer);
    this.outbox.close(error);
  }

  /** Signs a queued request, which is sent then. */
  async #sign(
    signer: Signer,
    input: Uint8Array,
    waiting: OutboxRequest,
    deadline_ms: number,
    timeout_ms: number,
  ): Promise<void> {
    try {
      const signature = await signer.sign(input);
      if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_BYTES) {
        throw new TypeError(`expected ${SIGNATURE_BYTES} bytes`);
      }
      const frame = signedFrame(waiting.frame, signature);
      this.outbox.seal(waiting, frame, deadline_ms, timeout_ms);
    } catch (cause) {
      this.outbox.cancel(waiting);
      waiting.reject(new ArqonError("signing-failed", textOf(cause), { cause }));
    }
    this.schedule();
  }
}
