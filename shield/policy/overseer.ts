/**
 * The Overseer as the message path sees it: one question for each hook, answered at once when no policy
 * applies. Which policies apply is `registry.ts`, how they run is `pool.ts`; this file makes a request
 * of operation and caller, and a refusal of a verdict.
 */
import { ArqonError } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import type { Caller, HeaderPair } from "../message/caller.ts";
import type { CandidateVerdicts } from "../mirror/diff.ts";
import { shareKey } from "../traces/trace_parent.ts";
import type {
  EvaluateRequest,
  Hook,
  PolicyBinding,
  PolicyLog,
  PolicyOutcome,
  Verdict,
} from "./abi/policy.ts";

/** What the Overseer needs of the process. */
export interface OverseerOptions {
  /**
   * The policies that apply, in order; empty when none does. `key` decides for staged rollouts.
   * Throws `policy-fault` when the tenant's chain is not known (fail closed).
   */
  readonly chainFor: (
    tenant_id: string,
    hook: Hook,
    room_id: string,
    key: string,
  ) => readonly PolicyBinding[];
  readonly evaluate: (request: EvaluateRequest) => Promise<Verdict>;
  /** Called with the outcomes of a chain's policies. */
  readonly onVerdict?: (request: EvaluateRequest, outcomes: readonly PolicyOutcome[]) => void;
  /** Called with the verdict about a message, or about a caller that connects. */
  readonly onJudged?: ((about: object, verdict: Verdict) => void) | undefined;
  /** Unix ms. */
  readonly now: () => number;
  /** Called with every `host_log` line, in order. */
  readonly onLogs: (tenant_id: string, logs: readonly PolicyLog[]) => void;
  /** Takes the verdicts of policies that only observe; absent: nobody compares them. */
  readonly candidates?: CandidateVerdicts;
}

/** The Overseer's questions. An undefined answer means that no policy applies: go on at once. */
export interface Overseer {
  /** Asks about a connection. Rejects with `policy-rejected` or `policy-fault`. */
  onConnect(caller: Caller): Promise<void> | undefined;
  /** Asks about a subscription, in the same way. */
  onSubscribe(caller: Caller, room_id: string): Promise<void> | undefined;
  /** Asks about a message, in the same way; resolves with the headers that policies add. */
  onMessage(
    caller: Caller,
    envelope: ScannedEnvelope,
  ): Promise<readonly HeaderPair[]> | undefined;
}

/** The Overseer with `[platform.overseer] enabled = false`: no policy ever applies. */
export const NO_OVERSEER: Overseer = {
  onConnect: () => undefined,
  onSubscribe: () => undefined,
  onMessage: () => undefined,
};

const EMPTY = new Uint8Array(0);
const noHeaders = (): readonly HeaderPair[] => [];
const decoder = new TextDecoder();

/** What a policy may ask of an operation, besides its caller. */
interface Subject {
  readonly hook: Hook;
  readonly room_id: string;
  /** The headers of the envelope; read when a policy can ask for them. */
  readonly headers: () => readonly HeaderPair[];
  readonly type: string;
  readonly content_type: string;
  readonly payload: Uint8Array;
}

/** Makes the Overseer. */
export function createOverseer(options: OverseerOptions): Overseer {
  const { chainFor } = options;
  const ask = async (
    caller: Caller,
    chain: readonly PolicyBinding[],
    subject: Subject,
    envelope?: ScannedEnvelope,
  ): Promise<readonly HeaderPair[]> => {
    const request = requestOf(caller, chain, subject, options.now());
    const verdict = await options.evaluate(request);
    options.onVerdict?.(request, verdict.outcomes);
    options.onJudged?.(envelope ?? caller, verdict);
    if (envelope !== undefined && options.candidates !== undefined) {
      tellCandidates(options.candidates, caller.identity.tenant_id, envelope, verdict);
    }
    if (verdict.logs.length > 0) options.onLogs(caller.identity.tenant_id, verdict.logs);
    if (!verdict.allowed) throw refusalOf(verdict);
    return verdict.added_headers;
  };
  const bare = (caller: Caller, hook: Hook, room_id: string): Promise<void> | undefined => {
    const chain = chainFor(caller.identity.tenant_id, hook, room_id, caller.connection_id);
    if (chain.length === 0) return undefined;
    const subject = {
      hook,
      room_id,
      headers: noHeaders,
      type: "",
      content_type: "",
      payload: EMPTY,
    };
    return ask(caller, chain, subject).then(() => {});
  };
  return {
    onConnect: (caller) => bare(caller, "on_connect", ""),
    onSubscribe: (caller, room_id) => bare(caller, "on_subscribe", room_id),
    onMessage(caller, envelope) {
      const { tenant_id } = caller.identity;
      const key = shareKey(envelope, caller);
      const chain = chainFor(tenant_id, "on_message", envelope.room_id, key);
      if (chain.length === 0) return undefined;
      return ask(caller, chain, messageSubject(envelope), envelope);
    },
  };
}

function tellCandidates(
  candidates: CandidateVerdicts,
  tenant_id: string,
  envelope: ScannedEnvelope,
  { outcomes }: Verdict,
): void {
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

function envelopeHeaders({ bytes, header_spans: spans }: ScannedEnvelope): HeaderPair[] {
  const headers: HeaderPair[] = [];
  for (let at = 0; at < spans.length; at += 4) {
    const name = decoder.decode(bytes.subarray(spans[at], spans[at + 1]));
    headers.push([name, decoder.decode(bytes.subarray(spans[at + 2], spans[at + 3]))]);
  }
  return headers;
}

function messageSubject(envelope: ScannedEnvelope): Subject {
  const { bytes, event, command, room_id } = envelope;
  const body = event ?? command;
  return {
    hook: "on_message",
    room_id,
    headers: () => envelopeHeaders(envelope),
    type: event?.type ?? command?.name ?? "",
    content_type: body?.content_type ?? "",
    payload: body === undefined ? EMPTY : bytes.subarray(body.data_start, body.data_end),
  };
}

/**
 * Whether a header has a reserved name. A client's own `x-arqon-*` comes last and is never found, as
 * the reserved names are looked up first.
 */
function isReserved([name]: HeaderPair): boolean {
  return name.toLowerCase().startsWith("x-arqon-");
}

function requestOf(
  caller: Caller,
  chain: readonly PolicyBinding[],
  subject: Subject,
  now_ms: number,
): EvaluateRequest {
  const { identity } = caller;
  return {
    hook: subject.hook,
    tenant_id: identity.tenant_id,
    connection_id: caller.connection_id,
    chain,
    facts: () => ({ headers: headersOf(caller, subject, now_ms), claims: identity.claims }),
    payload: subject.payload,
  };
}

function headersOf(caller: Caller, subject: Subject, now_ms: number): readonly HeaderPair[] {
  const { identity, request_headers } = caller;
  const reserved: HeaderPair[] = [
    ["x-arqon-hook", subject.hook],
    ["x-arqon-tenant", identity.tenant_id],
    ["x-arqon-room", subject.room_id],
    ["x-arqon-user", identity.user_id],
    ["x-arqon-type", subject.type],
    ["x-arqon-content-type", subject.content_type],
    ["x-arqon-remote-ip", caller.remote_ip],
    ["x-arqon-now-ms", String(now_ms)],
  ];
  const sent = [...subject.headers(), ...request_headers].filter((header) => !isReserved(header));
  return [...sent, ...reserved];
}

/** The refusal of a verdict: the policy's own words and code, or 503 when it could not decide. */
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
  // The code tells an overlong payload (413) and a tenant over its fuel rate (429) from a bad policy.
  return new ArqonError("policy-fault", "", { code: verdict.code, retry_after_ms: 1_000 });
}
