// Masks secret fields of JSON messages, at every depth: each value in them becomes "***". Names are folded,
// so that "Password" is "password" too. Messages of other content types pass as they are. The sibling of
// json_redaction, which refuses them: only a policy of version 2 can change a message.
import {
  allow,
  fold,
  JsonKind,
  JsonReader,
  Message,
  onMessage,
  reject,
  Verdict,
} from "../sdk/v2.ts";

const secret = new Set<string>();
["password", "passwd", "secret", "ssn", "card_number", "cvv", "iban"].forEach((name) => {
  secret.add(name);
});
const MASK = String.UTF8.encode('"***"');

function isJson(type: string): bool {
  return type == "application/json" || type.endsWith("+json");
}

/** Replaces each of the parts, pairs of begin and end, by the mask. */
function masked(bytes: Uint8Array, parts: Array<i32>): Uint8Array {
  let size = bytes.length;
  for (let at = 0; at < parts.length; at += 2) size += MASK.byteLength - (parts[at + 1] - parts[at]);
  const out = new Uint8Array(size);
  let from = 0;
  let to: usize = out.dataStart;
  for (let at = 0; at < parts.length; at += 2) {
    const before = parts[at] - from;
    memory.copy(to, bytes.dataStart + from, before);
    memory.copy(to + before, changetype<usize>(MASK), MASK.byteLength);
    to += before + MASK.byteLength;
    from = parts[at + 1];
  }
  memory.copy(to, bytes.dataStart + from, bytes.length - from);
  return out;
}

function judge(m: Message): Verdict {
  if (!isJson(m.mediaType)) return allow();
  const bytes = m.bytes;
  const json = new JsonReader(bytes);
  const parts = new Array<i32>();
  /** The depth of the secret that contains the value; -1: none does. */
  let within = -1;
  while (json.next()) {
    const level = json.level;
    if (level <= within) within = -1;
    if (within < 0 && json.name.length > 0 && secret.has(fold(json.name))) within = level;
    if (within < 0 || json.kind == JsonKind.Array || json.kind == JsonKind.Object) continue;
    parts.push(json.begin);
    parts.push(json.end);
  }
  if (json.failed) return reject("the payload is no JSON", 400);
  if (parts.length > 0) m.replace(masked(bytes, parts));
  return allow();
}

onMessage(judge);
