/**
 * Heartbeats of Brains, and the request for them, as bytes: two kinds of `arqon.v1.ClusterMessage`
 * (`proto/arqon/v1/replication.proto`).
 */
import type { Beat, BrainState, Hello, WriterState, WriterStatus } from "../records/member.ts";
import * as f from "./wire_fields.ts";

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
