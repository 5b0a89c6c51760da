/**
 * What Shields and Brains say to each other, as bytes: `arqon.v1.ClusterMessage` of
 * `proto/arqon/v1/replication.proto`. Here is which kind a message is; the kinds are
 * `wire_write.ts` and `wire_read.ts`, what they mean is `messages.ts`.
 */
import { DecodeError, type FieldNames, skipField, WireReader, WireWriter } from "@arqon/proto";
import type { ClusterMessage } from "./messages.ts";
import { nothingShared, type Shared } from "./wire_parts.ts";
import {
  readAnnouncement,
  readBeat,
  readHello,
  readPull,
  readPulled,
  readRoomCheck,
  readRoomDiffers,
  readRoomPull,
  readRoomSnapshot,
  readRoomUpdate,
} from "./wire_read.ts";
import { readStays, readStaysWritten } from "./wire_read_stays.ts";
import {
  writeAnnouncement,
  writeBeat,
  writeHello,
  writePull,
  writePulled,
  writeRoomCheck,
  writeRoomDiffers,
  writeRoomPull,
  writeRoomSnapshot,
  writeRoomUpdate,
  writeStays,
  writeStaysWritten,
} from "./wire_write.ts";

/** The kinds at their field numbers. */
const KINDS = [
  "ClusterMessage",
  "announcement",
  "beat",
  "pull",
  "pulled",
  "room_update",
  "room_pull",
  "room_snapshot",
  "room_check",
  "room_differs",
  "hello",
  "stays",
  "stays_written",
] as const satisfies FieldNames;

const READERS: readonly ((reader: WireReader, shared: Shared) => ClusterMessage)[] = [
  readAnnouncement,
  readBeat,
  readPull,
  readPulled,
  readRoomUpdate,
  readRoomPull,
  readRoomSnapshot,
  readRoomCheck,
  readRoomDiffers,
  readHello,
  readStays,
  readStaysWritten,
];

function writeBody(out: WireWriter, message: ClusterMessage): void {
  switch (message.kind) {
    case "announcement":
      return writeAnnouncement(out, message);
    case "beat":
      return writeBeat(out, message);
    case "pull":
      return writePull(out, message);
    case "pulled":
      return writePulled(out, message);
    case "room_update":
      return writeRoomUpdate(out, message);
    case "room_pull":
      return writeRoomPull(out, message);
    case "room_snapshot":
      return writeRoomSnapshot(out, message);
    case "room_check":
      return writeRoomCheck(out, message);
    case "room_differs":
      return writeRoomDiffers(out, message);
    case "hello":
      return writeHello(out, message);
    case "stays":
      return writeStays(out, message);
    case "stays_written":
      return writeStaysWritten(out, message);
    default:
      message satisfies never;
  }
}

/** Throws TypeError for a number that its field cannot hold. */
export function encodeMessage(message: ClusterMessage): Uint8Array<ArrayBuffer> {
  const out = new WireWriter();
  const mark = out.open(KINDS.indexOf(message.kind));
  writeBody(out, message);
  out.close(mark);
  return out.finish();
}

/**
 * Throws `DecodeError` and nothing else; `bytes` may hold anything. Fields that are not known are
 * passed over, so that processes of two versions can work side by side; a kind that is not known is
 * refused.
 */
export function decodeMessage(bytes: Uint8Array): ClusterMessage {
  const reader = new WireReader(bytes);
  let message: ClusterMessage | undefined;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    const read = (tag & 7) === 2 ? READERS[(tag >>> 3) - 1] : undefined;
    if (read === undefined) {
      skipField(reader, tag, KINDS);
      continue;
    }
    if (message !== undefined) throw new DecodeError("malformed-frame", "two messages in one");
    message = reader.embedded(read, nothingShared());
  }
  if (message === undefined) throw new DecodeError("malformed-frame", "no message of a known kind");
  return message;
}
