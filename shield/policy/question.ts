/**
 * A question to policies about one operation: what they can ask, and how large a new payload may be. Who is asked,
 * and what becomes of the answer, is `overseer.ts`.
 */
import type { ScanLimits, ScannedEnvelope } from "@arqon/proto";
import type { Caller, HeaderPair } from "../message/caller.ts";
import type { Note } from "../message/gates.ts";
import { pieceHeaders } from "./piece.ts";
import { senderOf, sourceOf } from "../message/sender.ts";
import type { EvaluateRequest, PolicyFacts } from "./abi/policy.ts";
import type { Hook, PolicyBinding } from "../message/verdict.ts";
import { NOT_A_MESSAGE, SIGNED } from "./abi/policy.ts";
import type { GrowingPiece } from "../message/gates.ts";

/** The bounds of a message whose payload a policy replaces. */
export interface ReplaceLimits extends ScanLimits {
  readonly max_frame_bytes: number;
  /** The most bytes of a payload that policies are given. */
  readonly payload_bytes: number;
}

/** What the frame and the lengths in it may take besides the envelope that came. */
const FRAME_SPARE_BYTES = 16;
const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder();

/** A question to policies. What only some of them ask for is made when one does. */
export class Question implements EvaluateRequest {
  readonly hook: Hook;
  readonly tenant_id: string;
  readonly connection_id: string;
  readonly chain: readonly PolicyBinding[];
  readonly payload: Uint8Array;
  readonly caller: Caller;
  readonly room_id: string;
  /** Unix ms. */
  readonly asked_ms: number;
  readonly #limits: ReplaceLimits;
  /** The message, where it is about one. */
  readonly envelope: ScannedEnvelope | undefined;
  readonly #piece: GrowingPiece | undefined;
  #facts: PolicyFacts | undefined;
  /** Who takes note of what policies say and read; undefined: nobody. */
  note: Note | undefined;

  constructor(
    hook: Hook,
    caller: Caller,
    chain: readonly PolicyBinding[],
    room_id: string,
    asked_ms: number,
    limits: ReplaceLimits,
    envelope?: ScannedEnvelope,
    piece?: GrowingPiece,
  ) {
    const body = envelope?.event ?? envelope?.command;
    this.hook = hook;
    this.tenant_id = caller.identity.tenant_id;
    this.connection_id = caller.connection_id;
    this.chain = chain;
    this.payload = body === undefined
      ? piece === undefined ? EMPTY : encoder.encode(piece.text)
      : envelope!.bytes.subarray(body.data_start, body.data_end);
    this.caller = caller;
    this.room_id = room_id;
    this.asked_ms = asked_ms;
    this.#limits = limits;
    this.envelope = envelope;
    this.#piece = piece;
    this.note = undefined;
  }

  get record_reads(): boolean {
    return this.note !== undefined;
  }

  get sender(): string {
    return senderOf(this.caller, this.room_id);
  }

  get source(): string {
    return sourceOf(this.caller);
  }

  /** Not that of a service, which others publish through; before WELCOME there is none. */
  get can_be_closed(): boolean {
    return this.hook !== "on_connect" && this.caller.identity.role !== "service";
  }

  get payload_most(): number {
    const { envelope, payload } = this;
    const { max_frame_bytes, payload_bytes } = this.#limits;
    if (this.#piece !== undefined) return payload_bytes;
    if (envelope === undefined || envelope.payload.kind === "signal") return NOT_A_MESSAGE;
    if (envelope.signature !== undefined) return SIGNED;
    const besides = envelope.size_bytes - payload.length + FRAME_SPARE_BYTES;
    return Math.max(0, Math.min(payload_bytes, max_frame_bytes - besides));
  }

  /** What the caller sent with the operation; a client's own `x-arqon-*` is never found. */
  facts(): PolicyFacts {
    return this.#facts ??= this.#sent();
  }

  #sent(): PolicyFacts {
    const { envelope, caller: { identity, request_headers, remote_ip } } = this;
    const own = envelope === undefined ? [] : envelopeHeaders(envelope);
    const sent = [...own, ...request_headers].filter((pair) => !isReserved(pair));
    const body = envelope?.event ?? envelope?.command ?? this.#piece;
    const headers: HeaderPair[] = [
      ...sent,
      ["x-arqon-hook", this.hook],
      ["x-arqon-tenant", identity.tenant_id],
      ["x-arqon-room", this.room_id],
      ["x-arqon-user", identity.user_id],
      ["x-arqon-type", envelope?.command?.name ?? (envelope?.event ?? this.#piece)?.type ?? ""],
      ["x-arqon-content-type", body?.content_type ?? ""],
      ["x-arqon-remote-ip", remote_ip],
      ["x-arqon-now-ms", String(this.asked_ms)],
      ...this.#piece === undefined ? [] : pieceHeaders(this.#piece),
    ];
    return { headers, claims: identity.claims };
  }
}

function envelopeHeaders({ bytes, header_spans: spans }: ScannedEnvelope): HeaderPair[] {
  const headers: HeaderPair[] = [];
  for (let at = 0; at < spans.length; at += 4) {
    const name = decoder.decode(bytes.subarray(spans[at]!, spans[at + 1]!));
    headers.push([name, decoder.decode(bytes.subarray(spans[at + 2]!, spans[at + 3]!))]);
  }
  return headers;
}

/**
 * Whether a header has a reserved name. A client's own `x-arqon-*` comes last and is never found, as
 * the reserved names are looked up first.
 */
function isReserved([name]: HeaderPair): boolean {
  return name.toLowerCase().startsWith("x-arqon-");
}
