/**
 * Writes each kind of `ClusterMessage`; the fields of `proto/arqon/v1/replication.proto`. Which kind
 * it is on the wire is `wire.ts`, reading is `wire_read.ts`.
 */
import { LEAVE_CAUSES } from "../records/leave_reason.ts";
import { writePacked } from "@arqon/proto";
import type { WireWriter } from "@arqon/proto";
import type {
  Announcement,
  Beat,
  Emitter,
  Hello,
  MissedStays,
  Pull,
  Pulled,
  RoomCheck,
  RoomDiffers,
  RoomPosition,
  RoomPull,
  RoomSnapshot,
  RoomUpdate,
  Stays,
  StaysWritten,
} from "./messages.ts";
import type {
  Delta,
  Entry,
  Tag,
  Writer,
  WriterClock,
  WriterStatus,
  WrittenEntry,
} from "./types.ts";
import { BRAIN_STATES, WRITER_STATES } from "./wire_parts.ts";

function writeWriter(out: WireWriter, field: number, { node_id, incarnation }: Writer): void {
  const mark = out.open(field);
  out.text(1, node_id);
  out.uint64(2, incarnation);
  out.close(mark);
}

function writeEntry(out: WireWriter, field: number, entry: Entry): void {
  const mark = out.open(field);
  out.uint64(1, entry.counter);
  out.text(2, entry.tenant_id);
  out.text(3, entry.room_id);
  out.text(4, entry.connection_id);
  out.text(5, entry.user_id);
  out.text(6, entry.issuer);
  out.text(7, entry.meta);
  out.int64(8, entry.joined_ms);
  out.int64(9, entry.changed_ms);
  out.close(mark);
}

function writeDelta(out: WireWriter, field: number, delta: Delta): void {
  const mark = out.open(field);
  writeWriter(out, 1, delta.writer);
  out.uint64(2, delta.start);
  out.uint64(3, delta.end);
  for (const entry of delta.entries) writeEntry(out, 4, entry);
  writePacked(out, 5, delta.removed);
  out.close(mark);
}

function writeClock(out: WireWriter, field: number, { writer, clock }: WriterClock): void {
  const mark = out.open(field);
  writeWriter(out, 1, writer);
  out.uint64(2, clock);
  out.close(mark);
}

function writeStatus(out: WireWriter, field: number, status: WriterStatus): void {
  const mark = out.open(field);
  writeWriter(out, 1, status.writer);
  out.uint64(2, status.clock);
  out.uint32(3, WRITER_STATES.indexOf(status.state));
  out.close(mark);
}

function writeEmitter(out: WireWriter, field: number, emitter: Emitter): void {
  const mark = out.open(field);
  out.text(1, emitter.brain_id);
  out.uint64(2, emitter.boot);
  out.uint64(3, emitter.term);
  out.close(mark);
}

function writeRoomEntry(out: WireWriter, field: number, { writer, entry }: WrittenEntry): void {
  const mark = out.open(field);
  writeWriter(out, 1, writer);
  writeEntry(out, 2, entry);
  out.close(mark);
}

function writeTag(out: WireWriter, field: number, { writer, counter }: Tag): void {
  const mark = out.open(field);
  writeWriter(out, 1, writer);
  out.uint64(2, counter);
  out.close(mark);
}

function writeMissed(out: WireWriter, field: number, missed: MissedStays): void {
  const mark = out.open(field);
  out.text(1, missed.tenant_id);
  out.text(2, missed.room_id);
  out.uint64(3, missed.count);
  out.uint64(4, missed.from_ms);
  out.uint64(5, missed.to_ms);
  out.close(mark);
}

function writePosition(out: WireWriter, field: number, position: RoomPosition): void {
  const mark = out.open(field);
  out.text(1, position.tenant_id);
  out.text(2, position.room_id);
  if (position.emitter !== undefined) writeEmitter(out, 3, position.emitter);
  out.uint64(4, position.sequence);
  out.close(mark);
}

/** The body alone, as every function here; `wire.ts` puts it into its field. */
export function writeAnnouncement(out: WireWriter, message: Announcement): void {
  writeDelta(out, 1, message.delta);
  out.bool(2, message.leaving);
  for (const [counter, reason] of message.reasons ?? []) {
    const mark = out.open(3);
    out.uint64(1, counter);
    out.uint32(2, LEAVE_CAUSES.indexOf(reason));
    out.close(mark);
  }
}

/** Writes a Brain's beat: that it lives, and how far it has come. */
export function writeBeat(out: WireWriter, message: Beat): void {
  out.text(1, message.brain_id);
  out.uint64(2, message.boot);
  out.uint32(3, BRAIN_STATES.indexOf(message.state));
  for (const status of message.writers) writeStatus(out, 4, status);
  out.uint32(5, message.classes_hash ?? 0);
}

/** Writes the question what a writer did after a clock. */
export function writePull(out: WireWriter, message: Pull): void {
  out.text(1, message.from);
  out.uint64(2, message.request);
  writeWriter(out, 3, message.writer);
  out.uint64(4, message.clock);
}

/** Writes a page of the answer; without a delta it says that the writer is not known. */
export function writePulled(out: WireWriter, message: Pulled): void {
  out.uint64(1, message.request);
  out.uint32(2, message.page);
  out.uint32(3, message.pages);
  out.bool(4, message.full);
  if (message.delta === undefined) out.bool(5, true);
  else writeDelta(out, 6, message.delta);
}

/** Writes what happened in a room. */
export function writeRoomUpdate(out: WireWriter, message: RoomUpdate): void {
  writeEmitter(out, 1, message.emitter);
  out.uint64(2, message.sequence);
  out.text(3, message.tenant_id);
  out.text(4, message.room_id);
  for (const join of message.joins) writeRoomEntry(out, 5, join);
  for (const tag of message.leaves) writeTag(out, 6, tag);
  for (const clock of message.clocks) writeClock(out, 7, clock);
}

/** Writes the question who is in a room. */
export function writeRoomPull(out: WireWriter, message: RoomPull): void {
  out.text(1, message.from);
  out.uint64(2, message.request);
  out.text(3, message.tenant_id);
  out.text(4, message.room_id);
}

/** Writes a page of the answer. */
export function writeRoomSnapshot(out: WireWriter, message: RoomSnapshot): void {
  out.uint64(1, message.request);
  out.uint32(2, message.page);
  out.uint32(3, message.pages);
  writeEmitter(out, 4, message.emitter);
  out.uint64(5, message.sequence);
  out.text(6, message.tenant_id);
  out.text(7, message.room_id);
  for (const entry of message.entries) writeRoomEntry(out, 8, entry);
  for (const clock of message.clocks) writeClock(out, 9, clock);
}

/** Writes the question which rooms have moved on. */
export function writeRoomCheck(out: WireWriter, message: RoomCheck): void {
  out.text(1, message.from);
  out.uint64(2, message.request);
  for (const room of message.rooms) writePosition(out, 3, room);
}

/** Writes the answer: the rooms that have moved on. */
export function writeRoomDiffers(out: WireWriter, message: RoomDiffers): void {
  out.uint64(1, message.request);
  for (const room of message.rooms) writePosition(out, 2, room);
}

/** Writes the question how everybody stands. */
export function writeHello(out: WireWriter, message: Hello): void {
  out.text(1, message.from);
}

/** Writes who has left and may not be in a journal. */
export function writeStays(out: WireWriter, message: Stays): void {
  for (const stay of message.stays) {
    const mark = out.open(1);
    writeRoomEntry(out, 1, stay);
    out.uint32(2, LEAVE_CAUSES.indexOf(stay.cause));
    out.close(mark);
  }
  for (const missed of message.missed) writeMissed(out, 2, missed);
}

/** Writes the answer: what is there. */
export function writeStaysWritten(out: WireWriter, message: StaysWritten): void {
  for (const tag of message.stays) writeTag(out, 1, tag);
  for (const missed of message.missed) writeMissed(out, 2, missed);
}
