/** What a SUB with presence requests: a member with metadata, or an observer. */
import { ArqonError, JSON_DEPTH_MAX, nestsTooDeep, type Subscribe } from "@arqon/proto";
import type { Limits } from "../../shared/config/schema.ts";
import type { PresenceRequest } from "../connection/presence.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function jsonText(bytes: Uint8Array): string {
  let text: string;
  try {
    text = decoder.decode(bytes);
    JSON.parse(text);
  } catch {
    throw new ArqonError("invalid-field", "member_meta is not JSON in UTF-8");
  }
  if (!nestsTooDeep(text)) return text;
  const detail = `member_meta is nested more than ${JSON_DEPTH_MAX} levels deep`;
  throw new ArqonError("invalid-field", detail);
}

/**
 * Checks the presence options of a SUB; undefined without presence. Throws `invalid-field` (400) for options that
 * contradict each other or metadata that is not JSON, and `message-too-large` (413) for too much metadata.
 */
export function presenceRequest(
  { presence, observer, member_meta }: Subscribe,
  { member_meta_bytes }: Pick<Limits, "member_meta_bytes">,
): PresenceRequest | undefined {
  const has_meta = member_meta.length > 0;
  if (!presence) {
    if (observer) throw new ArqonError("invalid-field", "observer without presence");
    if (has_meta) throw new ArqonError("invalid-field", "member_meta without presence");
    return undefined;
  }
  if (observer && has_meta) {
    throw new ArqonError("invalid-field", "member_meta of an observer, who is not a member");
  }
  if (member_meta.length > member_meta_bytes) {
    const detail = `member_meta has ${member_meta.length} bytes; at most ${member_meta_bytes}`;
    throw new ArqonError("message-too-large", detail);
  }
  return { is_member: !observer, meta: has_meta ? jsonText(member_meta) : "" };
}
