/** Leaves of the wire format: scanner, text form, stamper, subjects. */
import {
  decodeClientText,
  OwnBuffers,
  readEnvelope,
  scanEnvelope,
  stampRouted,
  writeEnvelope,
} from "@arqon/proto";
import { parseRoomSubject, roomSubject } from "../../shared/subjects/subject.ts";
import { kept, type Leaf, type LeafRun } from "./leaf.ts";

/** The `[limits]` of a Shield without a configuration. */
export const SCAN_LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };

/** Rooms that are used in turn, since real clients use more than one room. */
export const ROOMS: readonly string[] = Array.from({ length: 64 }, (_, index) => `room-${index}`);

const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const TWIST_ID = "01890a5d-ac96-774b-bcce-b302099a8057";
const NOW_MS = 1_790_000_000_123;

/** The frame of a client's publish: an event with `size_bytes` of data, no headers, and no request for an ACK. */
export function publication(room_id: string, size_bytes: number): Uint8Array<ArrayBuffer> {
  const data = new Uint8Array(size_bytes).fill(0x61);
  const event = { type: "chat", data, content_type: "text/plain", schema_id: "" };
  return writeEnvelope({ room_id, event });
}

function scanned(size_bytes: number): LeafRun {
  const messages = ROOMS.map((room_id) => publication(room_id, size_bytes));
  return (times) => {
    for (let index = 0; index < times; index++) {
      kept.value = scanEnvelope(messages[index % messages.length]!, SCAN_LIMITS);
    }
  };
}

function textDecoded(): LeafRun {
  const data = { text: "a".repeat(180) };
  const frames = ROOMS.map((room) => JSON.stringify({ op: "pub", room, type: "chat", data }));
  return (times) => {
    for (let index = 0; index < times; index++) {
      kept.value = decodeClientText(frames[index % frames.length]!, SCAN_LIMITS);
    }
  };
}

function stamped(size_bytes: number): LeafRun {
  const scans = ROOMS.map((room_id) => scanEnvelope(publication(room_id, size_bytes), SCAN_LIMITS));
  const stamp = { trace_id: TRACE_ID, tenant_id: "acme", sender_id: "user-1", twist_id: TWIST_ID };
  const space = new OwnBuffers();
  return (times) => {
    for (let index = 0; index < times; index++) {
      const scan = scans[index % scans.length]!;
      const { room_id } = scan;
      kept.value = stampRouted(scan, { ...stamp, room_id, timestamp_ms: NOW_MS }, space);
    }
  };
}

function readForText(): LeafRun {
  const messages = ROOMS.map((room_id) => publication(room_id, 200));
  return (times) => {
    for (let index = 0; index < times; index++) {
      kept.value = readEnvelope(messages[index % messages.length]!);
    }
  };
}

function subjects(): LeafRun {
  return (times) => {
    for (let index = 0; index < times; index++) {
      kept.value = roomSubject("in", "acme", ROOMS[index % ROOMS.length]!);
    }
  };
}

function parsedSubjects(): LeafRun {
  const written = ROOMS.map((room_id) => roomSubject("in", "acme", room_id));
  return (times) => {
    for (let index = 0; index < times; index++) {
      kept.value = parseRoomSubject(written[index % written.length]!);
    }
  };
}

/** The leaves of this file, in the order of a message. */
export const WIRE_LEAVES: readonly Leaf[] = [
  { name: "scan an envelope of 200 B", unit: "B", times: 20_000, open: () => scanned(200) },
  { name: "scan an envelope of 4 KiB", unit: "B", times: 20_000, open: () => scanned(4_096) },
  { name: "decode text of 200 B", unit: "B", times: 5_000, open: textDecoded },
  { name: "stamp an envelope of 200 B", unit: "B", times: 20_000, open: () => stamped(200) },
  { name: "stamp an envelope of 4 KiB", unit: "B", times: 5_000, open: () => stamped(4_096) },
  { name: "read an envelope of 200 B", unit: "B", times: 10_000, open: readForText },
  { name: "build a subject", unit: "B", times: 20_000, open: subjects },
  { name: "parse a subject", unit: "B", times: 20_000, open: parsedSubjects },
];
