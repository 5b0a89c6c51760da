/**
 * Heartbeats of Brains, and the request for them, as bytes: two kinds of `arqon.v1.ClusterMessage`
 * (`proto/arqon/v1/replication.proto`).
 */
import type { Env } from "../env.ts";
import type { Beat, BrainState, Hello, WriterState, WriterStatus } from "../records/member.ts";
import type { Subject } from "../subjects/subject.ts";
import * as f from "./wire_fields.ts";

/** A message of the ring of Brains. */
export type RingMessage = Beat | Hello;

/** The parts of its process that a Brain's ring needs: it has no Spine, clock or timers of its own. */
export interface RingPort extends Pick<Env, "now"> {
  /** Runs once after `delay_ms`; the returned function cancels. */
  readonly after: (delay_ms: number, run: () => void) => () => void;
  /** Best effort: the message may be lost, duplicated, late or out of order. Never throws. */
  readonly send: (subject: Subject, message: RingMessage) => void;
}

/** By their number on the wire; 0 is unused. */
const BRAIN_STATES: readonly (BrainState | undefined)[] = [
  ...[undefined, "starting", "serving", "draining"] as const,
];
const WRITER_STATES: readonly (WriterState | undefined)[] = [
  ...[undefined, "up", "down", "forgotten"] as const,
];

const STATUS = f.message<WriterStatus>("WriterStatus", {
  writer: f.one(f.WRITER_PART),
  clock: f.count,
  state: f.word(WRITER_STATES),
});

/** The parts of the ring's messages. */
export const RING_PARTS = {
  beat: f.message<Omit<Beat, "kind">>("Beat", {
    brain_id: f.id,
    boot: f.count,
    state: f.word(BRAIN_STATES),
    writers: f.many(STATUS),
    classes_hash: f.maybeNumber,
  }),
  hello: f.message<Omit<Hello, "kind">>("Hello", { from: f.id }),
};

/** The ring's messages as bytes; other kinds are refused. */
export const RING_CODEC = f.codecOf<RingMessage>(
  Object.assign(["ClusterMessage"], { 2: "beat", 10: "hello" }),
  RING_PARTS,
);
