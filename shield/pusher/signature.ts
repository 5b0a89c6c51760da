/**
 * The signatures of the Pusher protocol: a backend's authorization of a client for a channel, and a backend's request.
 * Pure. Source: https://pusher.com/docs/channels/library_auth_reference/auth-signatures/ and
 * https://pusher.com/docs/channels/library_auth_reference/rest-api/ (HMAC with SHA-256, in hex).
 */
import { Buffer } from "node:buffer";
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

interface AppKey {
  readonly key: string;
  readonly secret: string;
}

const hmac = (secret: string, text: string) =>
  createHmac("sha256", secret).update(text).digest("hex");

function isSame(given: string, right: string): boolean {
  const one = Buffer.from(given);
  const other = Buffer.from(right);
  return one.length === other.length && timingSafeEqual(one, other);
}

interface ChannelRequest {
  readonly socket_id: string;
  readonly channel: string;
  /** For presence channels, as the client sent it. */
  readonly channel_data: string | undefined;
}

/** Whether `auth` is the app's signature for this socket and channel. */
export function isChannelAuth(
  { key, secret }: AppKey,
  auth: unknown,
  { socket_id, channel, channel_data }: ChannelRequest,
): boolean {
  if (typeof auth !== "string") return false;
  const text = `${socket_id}:${channel}${channel_data === undefined ? "" : `:${channel_data}`}`;
  return isSame(auth, `${key}:${hmac(secret, text)}`);
}

/** Whether `auth` is the app's signature for this socket's user; `user_data` as the client sent it. */
export function isUserAuth(
  { key, secret }: AppKey,
  auth: unknown,
  socket_id: string,
  user_data: unknown,
): boolean {
  // The text of a deep list would overflow the stack.
  if (typeof auth !== "string" || typeof user_data !== "string") return false;
  return isSame(auth, `${key}:${hmac(secret, `${socket_id}::user::${user_data}`)}`);
}

interface SignedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Uint8Array;
}

/** The reason why a request's signature is invalid, as a text; undefined: it is valid. `now_ms` is Unix ms. */
export function requestProblem(
  { key, secret }: AppKey,
  { method, path, query, body }: SignedRequest,
  now_ms: number,
  skew_seconds: number,
): string | undefined {
  if (query.get("auth_version") !== "1.0") return 'auth_version: expected "1.0"';
  if (query.get("auth_key") !== key) return "auth_key is not this app's key";
  const seconds = Number(query.get("auth_timestamp"));
  if (!Number.isSafeInteger(seconds) || seconds <= 0) {
    return "auth_timestamp: expected Unix seconds";
  }
  if (Math.abs(now_ms / 1_000 - seconds) > skew_seconds) {
    return `auth_timestamp: more than ${skew_seconds} s from this server's clock`;
  }
  const md5 = query.get("body_md5");
  const is_body_right = body.length === 0 && md5 === null ||
    md5 === createHash("md5").update(body).digest("hex");
  if (!is_body_right) return "body_md5 is not the MD5 of the body";
  const signed = [...query].filter(([name]) => name !== "auth_signature")
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .toSorted(([one], [other]) => one < other ? -1 : 1)
    .map(([name, value]) => `${name}=${value}`).join("&");
  const right = hmac(secret, `${method}\n${path}\n${signed}`);
  if (isSame(query.get("auth_signature") ?? "", right)) return undefined;
  return "auth_signature is not the signature of this request";
}
