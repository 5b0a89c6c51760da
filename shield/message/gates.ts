/** The interfaces of checks beside the kernel's own: capabilities implement them. */
import type { ArqonError, ScannedEnvelope } from "@arqon/proto";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { Later } from "../../shared/turns/later.ts";
import type { Caller, HeaderPair } from "./caller.ts";

/** The record of one decision while it is made. */
export interface Note {
  /** These policies run, from this version of the tenant's chain, at this time in Unix ms. */
  asked(chain: readonly object[], version: number, asked_ms: number): void;
  judged(verdict: object): void;
  checked(
    id: string,
    version: number,
    violation:
      | { readonly path: string; readonly rule: string; readonly message: string }
      | undefined,
  ): void;
}

/** Keeps notes of decisions; there is no note if nobody records it. */
export interface Notes {
  message(caller: Caller, envelope: ScannedEnvelope): Note | undefined;
  operation(caller: Caller, hook: "on_connect" | "on_subscribe", room_id: string): Note | undefined;
  allow(note: Note): void;
  deny(note: Note, error: unknown): void;
}

/** Runs the decision about a SUB, and records its outcome. */
export function followed<T extends Promise<unknown> | undefined>(
  notes: Notes | undefined,
  { caller, room_id }: { readonly caller: Caller; readonly room_id: string },
  decide: (note?: Note) => T,
): T {
  const note = notes?.operation(caller, "on_subscribe", room_id);
  if (notes === undefined || note === undefined) return decide();
  let decided: T;
  try {
    decided = decide(note);
  } catch (error) {
    notes.deny(note, error);
    throw error;
  }
  if (decided === undefined) notes.allow(note);
  else decided.then(() => notes.allow(note), (error) => notes.deny(note, error));
  return decided;
}

/** Charges a message to its tenant's quota. Throws if that is exhausted. */
export interface Quota {
  take(tenant_id: string, size_bytes: number): void;
}

/** A refusal, and the headers of its dead letter, if one is sent. */
export interface SchemaRefusal {
  readonly error: ArqonError;
  /** Headers for the routed envelope that goes to the dlq subject; undefined: no copy is sent. */
  readonly dead_letter: readonly HeaderPair[] | undefined;
}

/** The schemas of events. */
export interface Schemas {
  /** True if no subject is mapped: then there is nothing to check, and no subject to build for it. */
  readonly isEmpty: boolean;
  readonly steps: number;
  /** The time of filters and schemas that all checks have used so far, in steps of half a microsecond. */
  readonly work: number;
  /** Checks an event; undefined if it passes. `subject` is `in.t.T.r.R` of that tenant. Never throws. */
  check(
    subject: Subject,
    tenant_id: string,
    envelope: ScannedEnvelope,
    note?: Note,
  ): SchemaRefusal | undefined;
  /** Sends the routed envelope of a refusal with `dead_letter` to the dlq subject. Best effort. */
  keep(subject: Subject, routed: Uint8Array, refusal: SchemaRefusal): void;
}

/** Without any schema. */
export const NO_SCHEMAS: Schemas = {
  isEmpty: true,
  steps: 0,
  work: 0,
  check: () => undefined,
  keep: () => {},
};

/** A piece that waits for a verdict. */
export interface GrowingPiece {
  readonly id: string;
  readonly type: string;
  readonly content_type: string;
  /** Text that no reader has: held-back text, and the new piece. */
  readonly text: string;
  /** Text that its readers have already, or the end of it. */
  readonly released: string;
  /** Bytes of UTF-8 that readers have before that; absent: none. */
  readonly sealed_bytes?: number;
  /** Whether the message ends with this piece. */
  readonly is_last: boolean;
}

/** The verdict on a piece. */
export interface JudgedPiece {
  /** The text that its readers may receive. */
  readonly released: string;
  /** Held back for the next piece. */
  readonly held: string;
}

/**
 * Called when policies have replaced the payload of a message, with the header that names them; throws if the new one
 * may not pass.
 */
export type ReplacedCheck<P, N> = (
  path: P,
  caller: Caller,
  envelope: ScannedEnvelope,
  mark: HeaderPair,
  note: N | undefined,
) => void;

/** The header with the names of the policies that have replaced the payload. */
export const REPLACED_HEADER = "x-arqon-replaced";

/** The headers that policies add to a message that they allow. */
export type Judged = readonly HeaderPair[] | JudgedLater;

/** The same, with a verdict that is pending. */
export type JudgedLater = Promise<readonly HeaderPair[]> | Later<readonly HeaderPair[]>;

/** Whether the verdict is known, or none is needed. */
export function isJudged(judged: Judged | undefined): judged is readonly HeaderPair[] | undefined {
  return judged === undefined || Array.isArray(judged);
}

/** The policies. An undefined answer means that none applies: continue at once. */
export interface Policies {
  /** Judges a connection. Rejects with `policy-rejected` or `policy-fault`. */
  onConnect(caller: Caller, note?: Note): Promise<void> | undefined;
  /** Judges a subscription, in the same way. */
  onSubscribe(caller: Caller, room_id: string, note?: Note): Promise<void> | undefined;
  /**
   * Judges a message, in the same way; returns the headers that policies add, at once or later. An immediate refusal is
   * thrown. If a policy has replaced the payload, the envelope has the new one with the answer, and `onReplaced` was
   * called with `path` and `note`.
   */
  onMessage<P, N extends Note>(
    caller: Caller,
    envelope: ScannedEnvelope,
    path?: P,
    onReplaced?: ReplacedCheck<P, N>,
    note?: N,
  ): Judged | undefined;
  /** Judges a piece of a growing message; resolves with the verdict. Rejects as the others do. */
  onAppend(caller: Caller, room_id: string, piece: GrowingPiece): Promise<JudgedPiece> | undefined;
}

/** Without any policy. */
export const NO_POLICIES: Policies = {
  onConnect: () => undefined,
  onSubscribe: () => undefined,
  onMessage: () => undefined,
  onAppend: () => undefined,
};

/** A candidate's verdict on one message. */
export interface CandidateVerdict {
  readonly tenant_id: string;
  /** The candidate's name: `policy:NAME`, `schema:ID`, or the name of a shadow consumer. */
  readonly candidate: string;
  /** Whether the candidate would have refused the message. */
  readonly refuse: boolean;
  /** Why, for people; "" for no reason. */
  readonly reason: string;
}

/** Receives the verdicts of observing policies and schemas on messages that are still undecided. */
export interface CandidateVerdicts {
  /**
   * Records one verdict. It counts once production has decided about this very envelope object, and only if a mirror
   * rule selects the message. Two verdicts of one candidate count as one, and as a refusal if either is. Never throws.
   */
  record(envelope: ScannedEnvelope, verdict: CandidateVerdict): void;
}

/** Discards verdicts: for tools, tests, and a Shield without a mirror. */
export const NO_CANDIDATES: CandidateVerdicts = { record: () => {} };
