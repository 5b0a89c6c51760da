/** How large a decision is in memory until it is stored, as the queue counts it. Pure. */
import type { JournalEntry } from "../../shared/journal/entry.ts";

/** About the bytes of an entry, from above but for texts of more than a byte a character. */
export function entrySize(entry: JournalEntry): number {
  const { payload, policies, message, schema, room, type, content_type } = entry;
  let size = 256 + message.length + room.length + type.length + content_type.length +
    (entry.message_id?.length ?? 0) + (payload.form === "kept" ? payload.data.length : 0);
  if (schema !== null) size += violationSize(schema);
  for (const policy of policies) size += policySize(policy);
  return size;
}

function violationSize({ id, violation }: NonNullable<JournalEntry["schema"]>): number {
  if (violation === null) return id.length;
  return id.length + violation.path.length + violation.rule.length + violation.message.length;
}

function policySize(policy: JournalEntry["policies"][number]): number {
  const { reads, writes, logs, added_headers, reason, detail, payload } = policy;
  // A new payload is base64 here, and bytes in a block.
  let size = 128 + reason.length + detail.length + (payload?.length ?? 0) * 3 / 4;
  for (const { name, value, key } of reads) {
    size += name.length + (value?.length ?? 0) + (key?.length ?? 0);
  }
  for (const { name, value } of writes) size += name.length + (value?.length ?? 0);
  for (const { message } of logs) size += message.length;
  for (const [name, value] of added_headers) size += name.length + value.length;
  return size;
}
