/**
 * The Overseer for the message path: one function for each hook, which returns at once if no policy applies.
 * `registry.ts` selects policies, `pool.ts` runs them; this file turns a verdict into a refusal, and puts a new payload
 * into the message.
 */
import { ArqonError, replaceData, type ScanLimits, type ScannedEnvelope } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { Later } from "../../shared/turns/later.ts";
import type { Identity } from "../auth/identity.ts";
import { type Caller, type HeaderPair, senderOf, sourceOf } from "../message/caller.ts";
import { type Notes, REPLACED_HEADER } from "../message/gates.ts";
import type {
  CandidateVerdicts,
  GrowingPiece,
  Judged,
  Note,
  Policies,
  ReplacedCheck,
} from "../message/gates.ts";
import { fullCommandName } from "../../shared/records/command_name.ts";
import { shareKey } from "../../shared/telemetry/trace_parent.ts";
import { type EvaluateRequest, NOT_A_MESSAGE, type PolicyFacts, SIGNED } from "./abi/policy.ts";
import type {
  Hook,
  PolicyBinding,
  PolicyLog,
  PolicyOutcome,
  Verdict,
} from "../../shared/records/verdict.ts";
import type { JudgedRequest } from "./chain/comparisons.ts";
import { judgedPiece, pieceHeaders } from "./piece.ts";
import type { VerdictReceiver } from "./pool/pool_lane.ts";

/** The dependencies and settings of the Overseer. */
export interface OverseerOptions extends Pick<Env, "now"> {
  /**
   * The policies that apply, in order; empty if none does. `key` selects the version in staged rollouts. Throws
   * `policy-fault` if the tenant's chain is unknown (fail closed).
   */
  readonly chainFor: (
    tenant_id: string,
    hook: Hook,
    room_id: string,
    key: string,
  ) => readonly PolicyBinding[];
  /** The version of the tenant's chain in force, for the journal; absent: it is 0. */
  readonly versionOf?: (tenant_id: string) => number;
  readonly evaluate: (request: EvaluateRequest) => Promise<Verdict>;
  /**
   * Like `evaluate`, but calls the receiver in the task in which the verdict arrives, never before it has returned.
   * Absent: `evaluate` also judges messages.
   */
  readonly ask?: (request: EvaluateRequest, receiver: VerdictReceiver) => void;
  /**
   * The verdict about a message if it is available at once; undefined: `evaluate` gives it. Absent: never available.
   */
  readonly evaluateInline?: (request: EvaluateRequest) => Verdict | undefined;
  /** Called with the outcomes of a chain's policies. */
  readonly onVerdict?: (
    request: EvaluateRequest & JudgedRequest,
    outcomes: readonly PolicyOutcome[],
  ) => void;
  /** Called with the fuel of each policy; `room_id` is "" for a new connection. */
  readonly onUsed?:
    | ((identity: Identity, room_id: string, outcomes: readonly PolicyOutcome[]) => void)
    | undefined;
  /** Called with the verdict about a message, or about a caller that connects. */
  readonly onJudged?: ((about: object, verdict: Verdict) => void) | undefined;
  /** The limits of a message, and of a payload for policies. */
  readonly limits: ReplaceLimits;
  /** Called with every `host_log` line, in order. */
  readonly onLogs: (tenant_id: string, logs: readonly PolicyLog[]) => void;
  /** Receives the verdicts of observing policies; absent: not compared. */
  readonly candidates?: CandidateVerdicts;
}

/** Makes the Overseer. */
export function createOverseer(options: OverseerOptions): Policies {
  const { chainFor } = options;
  const bare = (
    caller: Caller,
    hook: Hook,
    room_id: string,
    note: Note | undefined,
  ): Promise<void> | undefined => {
    const chain = chainFor(caller.identity.tenant_id, hook, room_id, caller.connection_id);
    if (chain.length === 0) return undefined;
    const question = new Question(hook, caller, chain, room_id, options);
    if (note !== undefined) noteAsked(options, question, note);
    return options.evaluate(question).then((verdict) => void judged(options, question, verdict));
  };
  return {
    onConnect: (caller, note) => bare(caller, "on_connect", "", note),
    onSubscribe: (caller, room_id, note) => bare(caller, "on_subscribe", room_id, note),
    onMessage(caller, envelope, path, onReplaced, note) {
      const key = shareKey(envelope, caller);
      const chain = chainFor(caller.identity.tenant_id, "on_message", envelope.room_id, key);
      if (chain.length === 0) return undefined;
      const { room_id } = envelope;
      const question = new Question("on_message", caller, chain, room_id, options, envelope);
      return judge(options, question, path, onReplaced, note);
    },
    onAppend: appending(options),
  };
}

/** Reports a verdict to all receivers. Returns the headers that policies add; throws the refusal. */
function judged(
  options: OverseerOptions,
  question: Question,
  verdict: Verdict,
): readonly HeaderPair[] {
  const { caller, tenant_id, envelope } = question;
  options.onVerdict?.(question, verdict.outcomes);
  options.onUsed?.(caller.identity, question.room_id, verdict.outcomes);
  question.note?.judged(verdict);
  options.onJudged?.(envelope ?? caller, verdict);
  tellCandidates(options.candidates, tenant_id, envelope, verdict);
  if (verdict.logs.length > 0) options.onLogs(tenant_id, verdict.logs);
  if (!verdict.allowed) throw refusalOf(verdict);
  return verdict.added_headers;
}

/** Like `judged`, and puts a new payload into the message. */
function passed<P, N>(
  options: OverseerOptions,
  question: Question,
  verdict: Verdict,
  path?: P,
  onReplaced?: ReplacedCheck<P, N>,
  note?: N,
): readonly HeaderPair[] {
  const added = judged(options, question, verdict);
  const { payload } = verdict;
  if (payload === undefined) return added;
  replaceData(question.envelope!, payload, options.limits);
  const mark: HeaderPair = [REPLACED_HEADER, replacersOf(verdict)];
  onReplaced?.(path!, question.caller, question.envelope!, mark, note);
  return [...added, mark];
}

function judge<P, N extends Note>(
  options: OverseerOptions,
  question: Question,
  path?: P,
  onReplaced?: ReplacedCheck<P, N>,
  note?: N,
): Judged {
  if (note !== undefined) noteAsked(options, question, note);
  const verdict = options.evaluateInline?.(question);
  if (verdict !== undefined) return passed(options, question, verdict, path, onReplaced, note);
  return question.ask(options.ask ?? evaluating(options), path, onReplaced);
}

/** What asks where there is only `evaluate`. */
function evaluating({ evaluate }: OverseerOptions): NonNullable<OverseerOptions["ask"]> {
  return (question, to) => void evaluate(question).then((verdict) => to.onVerdict(verdict));
}

/** The hook for pieces of growing messages. */
function appending(options: OverseerOptions): Policies["onAppend"] {
  const { chainFor, evaluate } = options;
  return (caller, room_id, piece) => {
    // At each step of a rollout one version of a policy judges all pieces of a message.
    const key = `${room_id} ${piece.id}`;
    const chain = chainFor(caller.identity.tenant_id, "on_append", room_id, key);
    if (chain.length === 0) return undefined;
    const question = new Question("on_append", caller, chain, room_id, options, undefined, piece);
    return evaluate(question).then((verdict) => {
      judged(options, question, verdict);
      return judgedPiece(piece, verdict);
    });
  };
}

/** Records the policies that run, their verdicts and their reads. */
function noteAsked(
  { versionOf }: Pick<OverseerOptions, "versionOf">,
  question: Question,
  note: Note,
): void {
  question.note = note;
  note.asked(question.chain, versionOf?.(question.tenant_id) ?? 0, question.asked_ms);
}

/** The names of the policies that have replaced the payload, in order. */
function replacersOf({ outcomes }: Verdict): string {
  return outcomes.filter(({ replaced }) => replaced === true).map(({ name }) => name).join(",");
}

function tellCandidates(
  candidates: CandidateVerdicts | undefined,
  tenant_id: string,
  envelope: ScannedEnvelope | undefined,
  { outcomes }: Verdict,
): void {
  if (candidates === undefined || envelope === undefined) return;
  for (const { name, mode, allowed, fault, reason } of outcomes) {
    if (mode !== "observe") continue;
    const candidate = `policy:${name}`;
    candidates.record(envelope, {
      tenant_id,
      candidate,
      refuse: !allowed,
      reason: fault ?? reason,
    });
  }
}

/** The refusal for a sender whose operations repeatedly make a policy fail. */
const SLOWED = "your messages make it fail, wait for retry_after_ms";
const GOES_ON = "your messages make a policy fail, and you continue without a pause";

/** The refusal of a verdict: the policy's own text and code, or 503 if it could not decide. */
function refusalOf(verdict: Verdict): ArqonError {
  const refused = verdict.outcomes.find(({ name, mode, allowed }) =>
    name === verdict.name && mode === "enforce" && !allowed
  );
  const detail = verdict.reason === "" ? "" : `: ${verdict.reason}`;
  if (refused?.fault === undefined) {
    return new ArqonError("policy-rejected", detail, { code: verdict.code });
  }
  if (refused.fault === "chain-fuel") {
    return new ArqonError("policy-chain-fuel", "", { retry_after_ms: 1_000 });
  }
  const { fault, closes, retry_after_ms = 1_000 } = refused;
  if (closes === true) return new ArqonError("flooding", GOES_ON, { retry_after_ms });
  const slowed = fault === "sender-slowed" ? `: ${SLOWED}` : "";
  // The code distinguishes an overlong payload (413) and a rate (429) from a bad policy.
  return new ArqonError("policy-fault", slowed, { code: verdict.code, retry_after_ms });
}

interface ReplaceLimits extends ScanLimits {
  readonly max_frame_bytes: number;
  readonly payload_bytes: number;
}

/** The bytes of the frame and its lengths, without the received envelope. */
const FRAME_SPARE_BYTES = 16;
const encoder = new TextEncoder();
const EMPTY = new Uint8Array(0);
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A request to policies, which gets its own verdict. Facts that only some read are made on demand. */
class Question implements EvaluateRequest, VerdictReceiver {
  readonly hook: Hook;
  readonly tenant_id: string;
  readonly connection_id: string;
  readonly chain: readonly PolicyBinding[];
  readonly payload: Uint8Array;
  readonly caller: Caller;
  readonly room_id: string;
  readonly #options: OverseerOptions;
  /** The message; undefined for other hooks. */
  readonly envelope: ScannedEnvelope | undefined;
  readonly #piece: GrowingPiece | undefined;
  #facts: PolicyFacts | undefined;
  #asked_ms: number | undefined;
  /** Records the decisions and reads of policies; undefined: not recorded. */
  note: Note | undefined;
  #later: Later<readonly HeaderPair[]> | undefined;
  #path: unknown;
  #onReplaced: ReplacedCheck<unknown, Note> | undefined;

  constructor(
    hook: Hook,
    caller: Caller,
    chain: readonly PolicyBinding[],
    room_id: string,
    options: OverseerOptions,
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
    this.#options = options;
    this.envelope = envelope;
    this.#piece = piece;
    this.note = undefined;
  }

  ask<P, N extends Note>(
    ask: NonNullable<OverseerOptions["ask"]>,
    path?: P,
    onReplaced?: ReplacedCheck<P, N>,
  ): Judged {
    const later = this.#later = new Later();
    this.#path = path;
    this.#onReplaced = onReplaced as ReplacedCheck<unknown, Note>;
    ask(this, this);
    return later;
  }

  onVerdict(verdict: Verdict): void {
    let added: readonly HeaderPair[];
    try {
      added = passed(this.#options, this, verdict, this.#path, this.#onReplaced, this.note);
    } catch (error) {
      return this.#later!.refuse(error);
    }
    this.#later!.pass(added);
  }

  /** Unix ms, read when it is first needed: most policies ask for no time. */
  get asked_ms(): number {
    return this.#asked_ms ??= this.#options.now();
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

  /** False for a service, through which others publish, and before WELCOME, when there is no connection. */
  get can_be_closed(): boolean {
    return this.hook !== "on_connect" && this.caller.identity.role !== "service";
  }

  get payload_most(): number {
    const { envelope, payload } = this;
    const { max_frame_bytes, payload_bytes } = this.#options.limits;
    if (this.#piece !== undefined) return payload_bytes;
    if (envelope === undefined || envelope.payload.kind === "signal") return NOT_A_MESSAGE;
    if (envelope.signature !== undefined) return SIGNED;
    const besides = envelope.size_bytes - payload.length + FRAME_SPARE_BYTES;
    return Math.max(0, Math.min(payload_bytes, max_frame_bytes - besides));
  }

  get #type(): string {
    const { command, event } = this.envelope ?? {};
    if (command !== undefined) return fullCommandName(command.name);
    return (event ?? this.#piece)?.type ?? "";
  }

  /** The caller's headers and claims; a client's own `x-arqon-*` is never included. */
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
      ["x-arqon-type", this.#type],
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
 * Whether a header has a reserved name. A client's own `x-arqon-*` comes last and is never found, since the reserved
 * names come first.
 */
function isReserved([name]: HeaderPair): boolean {
  return name.toLowerCase().startsWith("x-arqon-");
}

/** The same policies. A SUB brings its own note; a read of history, values, a stream or a proof gets one here. */
export function recordingReaders(policies: Policies, notes: Notes | undefined): Policies {
  if (notes === undefined) return policies;
  return {
    ...policies,
    onSubscribe(caller, room_id, given) {
      const note = given ?? notes.operation(caller, "on_subscribe", room_id);
      const judged = policies.onSubscribe(caller, room_id, note);
      if (given !== undefined || note === undefined) return judged;
      judged?.then(() => notes.allow(note), (error) => notes.deny(note, error));
      return judged;
    },
  };
}
