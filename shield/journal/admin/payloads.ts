/**
 * Puts payloads into records that only say where they are: in the logs of durable rooms. What a log has no
 * longer is reported as gone.
 */
import { DecodeError, type PlainEnvelope, readEnvelope } from "@arqon/proto";
import {
  isHole,
  type JournalLine,
  type JournalRecord,
  type PolicyRecord,
} from "../../../shared/journal/record.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import { legible } from "../../../shared/spine/contract/legible_message.ts";

/** Messages and bytes of one read of a log. */
const READ = { limit: 256, max_bytes: 4_194_304 };

/** What has the logs of a tenant. */
export interface LogsOf {
  of(tenant_id: string): Promise<Pick<DurableLog, "read">>;
}

/** A message is stamped before so much time has passed since its decision began: hooks take 10 s at most. */
const STAMPED_WITHIN_MS = 60_000;

type Referring = JournalRecord & {
  readonly offset: number;
  readonly sender: NonNullable<JournalRecord["sender"]>;
  readonly payload: Extract<JournalRecord["payload"], { form: "reference" }>;
};

/** Who was erased from the journal is not looked for in a log; nor is what a policy replaced before. */
function isReferring(line: JournalLine): line is Referring {
  return !isHole(line) && line.payload.form === "reference" && line.offset !== null &&
    line.sender !== null && !line.policies.some(isReplacing);
}

function isReplacing({ payload, is_payload_missing }: PolicyRecord): boolean {
  return payload !== null || is_payload_missing === true;
}

/** The lines, with payloads instead of references. Rejects as the logs do. */
export async function withPayloads(
  lines: readonly JournalLine[],
  logs: LogsOf,
): Promise<JournalLine[]> {
  const found = new Map<Referring, JournalRecord["payload"]>();
  const by_room = Map.groupBy(lines.filter(isReferring), ({ tenant, room }) => `${tenant} ${room}`);
  for (const records of by_room.values()) {
    await readRoom(records.toSorted((a, b) => a.offset - b.offset), logs, found);
  }
  return lines.map((line) => {
    const payload = isReferring(line) ? found.get(line) : undefined;
    return payload === undefined ? line : { ...line, payload };
  });
}

/** Reads the messages of records of one room, which are in the order of their offsets. */
async function readRoom(
  records: readonly Referring[],
  logs: LogsOf,
  found: Map<Referring, JournalRecord["payload"]>,
): Promise<void> {
  const [first] = records;
  if (first === undefined) return;
  const log = await logs.of(first.tenant);
  for (let at = 0; at < records.length;) {
    const { messages } = await log.read(first.room, { ...READ, after: records[at]!.offset - 1 });
    const by_offset = new Map(messages.map(({ offset, payload }) => [offset, payload]));
    const read_to = messages.at(-1)?.offset ?? Infinity;
    for (; at < records.length && records[at]!.offset <= read_to; at++) {
      const record = records[at]!;
      const envelope = by_offset.get(record.offset);
      const data = envelope === undefined ? undefined : dataOf(envelope, record);
      found.set(
        record,
        data === undefined
          ? { ...record.payload, is_gone: true }
          : { form: "kept", data: data.toBase64() },
      );
    }
  }
}

/** The payload of the record's message; undefined: the log has another message there, since it began anew. */
function dataOf(stored: Uint8Array, record: Referring): Uint8Array | undefined {
  try {
    const envelope = readEnvelope(legible(stored));
    const { event, message_id } = envelope;
    const is_own = record.message_id === null && message_id === ""
      ? isAlike(record, envelope)
      : record.message_id === message_id;
    return is_own ? event?.data : undefined;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Whether a message without an id is the record's, by everything that both say of it. */
function isAlike(
  record: Referring,
  { event, sender_id, timestamp_ms, trace_id }: PlainEnvelope,
): boolean {
  const stamped_after_ms = timestamp_ms - record.time_ms;
  return event !== undefined && event.type === record.type &&
    event.content_type === record.content_type && event.data.length === record.payload.bytes &&
    sender_id === record.sender.user && (record.trace === null || record.trace === trace_id) &&
    stamped_after_ms >= 0 && stamped_after_ms < STAMPED_WITHIN_MS;
}
