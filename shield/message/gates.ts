/** What may refuse a message beside the kernel's own checks, as the path asks it: who answers is a capability's affair. */
import type { ArqonError, ScannedEnvelope } from "@arqon/proto";
import type { Subject } from "../../shared/subjects/subject.ts";
import type { Later } from "../../shared/turns/later.ts";
import type { Caller, HeaderPair } from "./caller.ts";

/** What is noted of one decision while it is made; what they say is between them and who keeps the note. */
export interface Note {
  /** These policies are asked, of this version of the tenant's chain, at this time in Unix ms. */
  asked(chain: readonly object[], version: number, asked_ms: number): void;
  /** What they said. */
  judged(verdict: object): void;
  /** What a schema said. */
  checked(
    id: string,
    version: number,
    violation:
      | { readonly path: string; readonly rule: string; readonly message: string }
      | undefined,
  ): void;
}

/** Keeps notes of what is decided; where nobody is to be notified, there is no note. */
export interface Notes {
  message(caller: Caller, envelope: ScannedEnvelope): Note | undefined;
  operation(caller: Caller, hook: "on_connect" | "on_subscribe", room_id: string): Note | undefined;
  allow(note: Note): void;
  deny(note: Note, error: unknown): void;
}

/** Does what decides a SUB, and has a note of what came of it. */
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

/** Takes a message of a tenant off what it may send. Throws when that is used up. */
export interface Quota {
  take(tenant_id: string, size_bytes: number): void;
}

/** A refusal, and what the copy of the event says when one is sent. */
export interface SchemaRefusal {
  readonly error: ArqonError;
  /** Headers for the routed envelope that goes to the dlq subject; undefined: no copy is sent. */
  readonly dead_letter: readonly HeaderPair[] | undefined;
}

/** The schemas of events. */
export interface Schemas {
  /** True when no subject is mapped: then there is nothing to check, and no subject to build for it. */
  readonly isEmpty: boolean;
  /** All checks so far, and the steps of rules in them. */
  readonly steps: number;
  /** What all checks so far have taken of the time of filters and schemas, in steps of half a microsecond. */
  readonly work: number;
  /**
   * Checks an event; undefined when it may pass. `subject` is `in.t.T.r.R` of that tenant. Never
   * throws.
   */
  check(
    subject: Subject,
    tenant_id: string,
    envelope: ScannedEnvelope,
    note?: Note,
  ): SchemaRefusal | undefined;
  /** Sends the routed envelope of a refusal that has `dead_letter` to the dlq subject. Best effort. */
  keep(subject: Subject, routed: Uint8Array, refusal: SchemaRefusal): void;
}

/** Where no event has a schema. */
export const NO_SCHEMAS: Schemas = {
  isEmpty: true,
  steps: 0,
  work: 0,
  check: () => undefined,
  keep: () => {},
};

/** A piece that waits for a verdict. */
export interface GrowingPiece {
  /** The message. */
  readonly id: string;
  readonly type: string;
  readonly content_type: string;
  /** What no reader has: what was held back, and the piece behind it. */
  readonly text: string;
  /** What its readers have, or the end of it. */
  readonly released: string;
  /** Bytes of UTF-8 that they have before that; absent: it is all. */
  readonly sealed_bytes?: number;
  /** Whether nothing comes behind it: the message ends. */
  readonly is_last: boolean;
}

/** What becomes of a piece. */
export interface JudgedPiece {
  /** What its readers may have. */
  readonly released: string;
  /** What is queued for the next piece. */
  readonly held: string;
}

/**
 * Called when policies have replaced the payload of a message, with the header that names them; throws when
 * it may not pass so.
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

/** The headers that policies add to a message that they let through. */
export type Judged = readonly HeaderPair[] | JudgedLater;

/** The same, when there is no verdict yet. */
export type JudgedLater = Promise<readonly HeaderPair[]> | Later<readonly HeaderPair[]>;

/** Whether there is a verdict already, or none is needed. */
export function isJudged(judged: Judged | undefined): judged is readonly HeaderPair[] | undefined {
  return judged === undefined || Array.isArray(judged);
}

/** The questions to policies. An undefined answer means that none applies: go on at once. */
export interface Policies {
  /** Asks about a connection. Rejects with `policy-rejected` or `policy-fault`. */
  onConnect(caller: Caller, note?: Note): Promise<void> | undefined;
  /** Asks about a subscription, in the same way. */
  onSubscribe(caller: Caller, room_id: string, note?: Note): Promise<void> | undefined;
  /**
   * Asks about a message, in the same way; gives the headers that policies add, at once or later.
   * A refusal that is known at once is thrown. Where a policy has replaced the payload, the envelope has the
   * new one when the answer is there, and `onReplaced` was called with `path` and `note`.
   */
  onMessage<P, N extends Note>(
    caller: Caller,
    envelope: ScannedEnvelope,
    path?: P,
    onReplaced?: ReplacedCheck<P, N>,
    note?: N,
  ): Judged | undefined;
  /** Asks about a piece of a growing message; resolves with what becomes of it. Rejects as the others do. */
  onAppend(
    caller: Caller,
    room_id: string,
    piece: GrowingPiece,
  ): Promise<JudgedPiece> | undefined;
}

/** Where no policy ever applies. */
export const NO_POLICIES: Policies = {
  onConnect: () => undefined,
  onSubscribe: () => undefined,
  onMessage: () => undefined,
  onAppend: () => undefined,
};

/** What a candidate would have decided about one message. */
export interface CandidateVerdict {
  readonly tenant_id: string;
  /** The candidate's name: `policy:NAME`, `schema:ID`, or what a shadow consumer calls itself. */
  readonly candidate: string;
  /** Whether the candidate would have refused the message. */
  readonly refuse: boolean;
  /** Why, for people; "" when there is nothing to say. */
  readonly reason: string;
}

/** Takes the verdicts of policies and schemas that only observe, about messages still on their way. */
export interface CandidateVerdicts {
  /**
   * Takes one verdict. It is counted once production has decided about this very envelope object, and
   * only if a mirror rule picks the message. Of two of one candidate it is one, and a refusal if either
   * is. Never throws.
   */
  record(envelope: ScannedEnvelope, verdict: CandidateVerdict): void;
}

/** Verdicts go nowhere: for tools, tests, and a Shield that does not mirror. */
export const NO_CANDIDATES: CandidateVerdicts = { record: () => {} };
