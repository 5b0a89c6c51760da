/**
 * Removes secrets from a recorded call before it is written to a file: values under paths that the user names, and
 * everything that is or looks like a secret. Pure.
 */
import type { Read } from "../../shared/journal/record.ts";

/** A path into a call: `data.email`, `data.items.*.phone`, `header.x-plan`, `claim.name`. */
export interface RedactPath {
  readonly root: "data" | "header" | "claim";
  /** The members below; `*` is every one. */
  readonly steps: readonly string[];
}

type Payload = { json?: unknown } | { text: string } | { base64: string };

const REDACTED = "[redacted]";
const SECRET_HEADERS =
  /^(?:(?:proxy-)?authorization|(?:set-)?cookie2?|sec-websocket-protocol|.*(?:token|secret|password|api-?key).*)$/;
const SECRET_NAMES =
  /(?:^|[_.-])(?:token|secret|passwords?|passwd|api_?key|authorization|cookie)s?$/i;
/** A JSON Web Token anywhere in a text. */
const TOKEN = /eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*/g;
/** The value of a query parameter that carries a credential. */
const QUERY =
  /([?&](?:access_|id_|refresh_)?(?:token|key|secret|password|sig|signature)=)[^&#\s"]+/gi;

/** Parses a path; undefined when it is invalid. */
export function parseRedactPath(text: string): RedactPath | undefined {
  const [root, ...steps] = text.split(".");
  if (root !== "data" && root !== "header" && root !== "claim") return undefined;
  if (steps.some((step) => step === "") || (root !== "data" && steps.length === 0)) {
    return undefined;
  }
  // Names of headers and claims may contain dots.
  return { root, steps: root === "data" ? steps : [steps.join(".")] };
}

/** A text without tokens. */
function withoutTokens(text: string): string {
  return text.replace(TOKEN, REDACTED).replace(QUERY, `$1${REDACTED}`);
}

/** A value of the same kind without information. */
function blank(value: unknown): unknown {
  if (typeof value === "number") return 0;
  if (typeof value === "boolean") return false;
  return value === null ? null : REDACTED;
}

function at(value: unknown, steps: readonly string[]): unknown {
  const [step, ...below] = steps;
  if (step === undefined) return blank(value);
  if (typeof value !== "object" || value === null) return value;
  const change = (name: string, member: unknown) =>
    step === "*" || step === name ? at(member, below) : member;
  return Array.isArray(value)
    ? value.map((member, index) => change(String(index), member))
    : Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, change(name, member)]),
    );
}

function withoutSecrets(value: unknown): unknown {
  if (typeof value === "string") return withoutTokens(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withoutSecrets);
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      SECRET_NAMES.test(name) ? blank(member) : withoutSecrets(member),
    ]),
  );
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * A payload without secrets; the same object when nothing was removed. If a path into it is named and it is not JSON,
 * it is removed as a whole, since the member's place in it is unknown.
 */
export function redactedPayload<T extends Payload>(payload: T, paths: readonly RedactPath[]): T {
  const below = paths.filter(({ root }) => root === "data");
  const json = "json" in payload
    ? payload.json
    : "text" in payload
    ? jsonOf(payload.text)
    : undefined;
  if (json !== undefined) {
    const out = below.reduce((value, { steps }) => at(value, steps), withoutSecrets(json));
    // JSON with other whitespace is serialized again only when something was removed from it.
    return JSON.stringify(out) === JSON.stringify(json) ? payload : { json: out } as Payload as T;
  }
  if (below.length > 0) return { text: REDACTED } as Payload as T;
  if (!("text" in payload)) return payload;
  const text = withoutTokens(payload.text);
  return text === payload.text ? payload : { ...payload, text };
}

/** A header or claim without secrets. It still shows that there was one. */
export function redactedRead(read: Read, paths: readonly RedactPath[]): Read {
  const { from, name, value } = read;
  if (value === null || from === "state") return read;
  const is_named = paths.some(({ root, steps }) => root === from && steps[0] === name);
  const is_secret = (from === "header" ? SECRET_HEADERS : SECRET_NAMES).test(name);
  return { ...read, value: is_named || is_secret ? REDACTED : withoutTokens(value) };
}
