/**
 * Whether a stored record names a user. The bus's own records do so by their texts, not by members' names or fixed
 * words: a user may have such a name. An application's data does so by each text and each name. Pure.
 */
import { Buffer } from "node:buffer";

/** Members that are known not to contain a user; any other member may contain one. */
const NO_USER: ReadonlySet<string> = new Set([
  ...["type", "op", "tenant", "room", "epoch", "timestamp", "content_type", "scope", "stream"],
  ...[
    "cause",
    "what",
    "reason",
    "message",
    "role",
    "issuer",
    "connection_id",
    "node_id",
    "hook",
    "why",
  ],
]);
const APPLICATIONS: ReadonlySet<string> = new Set(["data", "value", "changes"]);

const encoder = new TextEncoder();

function namesIn(value: unknown, user: string): boolean {
  if (typeof value !== "object" || value === null) return value === user;
  if (Array.isArray(value)) return value.some((one) => namesIn(one, user));
  return Object.entries(value).some(([member, one]) => {
    if (NO_USER.has(member)) return false;
    return APPLICATIONS.has(member)
      ? JSON.stringify(one).includes(JSON.stringify(user))
      : namesIn(one, user);
  });
}

/**
 * The value of JSON that contains the user's id as a text; null: it does not contain it; undefined: it contains it, and
 * is not JSON.
 */
function quoting(bytes: Uint8Array, user: string): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!text.includes(JSON.stringify(user))) return null;
  try {
    return JSON.parse(text.toString());
  } catch {
    return undefined;
  }
}

/** Whether the bus's JSON names the user; other data does by each text in it. */
export function namesUser(bytes: Uint8Array, user: string): boolean {
  const value = quoting(bytes, user);
  return value === undefined || namesIn(value, user);
}

/**
 * Whether the body of a hook's call belongs to the user: a message belongs only to its sender, whatever users it names.
 */
export function calledAbout(body: string, user: string): boolean {
  const value = quoting(encoder.encode(body), user);
  if (typeof value !== "object" || value === null) return value === undefined;
  const data: object = "data" in value && value.data instanceof Object ? value.data : {};
  if (!("message" in data) || !(data.message instanceof Object)) {
    return namesIn(data, user);
  }
  return "sender" in data.message && data.message.sender === user;
}

/** Whether an entry of a reducer's log contains calls of the user; each text follows its length. */
export function hasCallsOf(bytes: Uint8Array, user: string): boolean {
  const text = Buffer.from(user);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes(
    Buffer.concat([length, text]),
  );
}
