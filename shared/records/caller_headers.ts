/**
 * The sender of a command, as a Shield passes it to the Brain beside the envelope: the role, and the claims that the
 * room's class needs. Pure.
 */
import type { SpineHeaders } from "../spine/contract/spine_message.ts";

/** Spine header with the sender's role. */
export const ROLE_HEADER = "x-arqon-role";
/** The claims: a JSON object of texts, in ASCII. */
export const CLAIMS_HEADER = "x-arqon-claims";
/** The most characters of all claims of one command; more are refused. */
export const CLAIMS_UNITS_MAX = 4_096;

interface CommandCaller {
  readonly role: string;
  readonly claims: Readonly<Record<string, string>>;
}

/** Headers of NATS are ASCII. */
const ascii = (text: string) =>
  text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** The needed claims as texts: a claim that is no string as JSON. */
export function pickClaims(
  names: readonly string[],
  claims: Readonly<Record<string, unknown>>,
): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = Object.hasOwn(claims, name) ? claims[name] : undefined;
    if (value === undefined) continue;
    picked[name] = (typeof value === "string" ? value : JSON.stringify(value)).toWellFormed();
  }
  return picked;
}

/** The headers for that sender. */
export function callerHeaders({ role, claims }: CommandCaller): SpineHeaders {
  return { [ROLE_HEADER]: role, [CLAIMS_HEADER]: ascii(JSON.stringify(claims)) };
}

/** The sender of a command; without headers it has the role of a user and no claims. */
export function readCaller(headers: SpineHeaders): CommandCaller {
  const { [ROLE_HEADER]: role = "user", [CLAIMS_HEADER]: claims = "{}" } = headers;
  return { role, claims: JSON.parse(claims) };
}

/**
 * Spine header with the id of the sending connection: on commands always, on events only if the connection asked for no
 * echo.
 */
export const ORIGIN_HEADER = "x-arqon-origin";
