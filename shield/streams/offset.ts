/**
 * The offset tokens of streams: an offset of the tenant's log with the log's incarnation, in digits that sort as text.
 * A position in the log has the same token in every room, so a fork and its source share theirs. Pure.
 */
import { fnvText, mixBits } from "../../shared/fnv.ts";
import { lastOf, lifeAt, type Lives } from "../../shared/spine/contract/lives.ts";

const DIGITS = 16;
const TOKEN = /^(\d{16})_(\d{16})(?:_(\d{16}))?$/;
/** The part of a token without an incarnation: with offset 0, the beginning of any log. */
const NO_LIFE = "0".repeat(DIGITS);
/** The bits of the second hash that fit below 2^53 with the 32 bits of the first. */
const LOW_BITS = 21;
const SECOND_SEED = 0x5bd1e995;

/** The number of an incarnation, 1 to 2^53 - 1. */
function lifeNumber(name: string): string {
  const high = mixBits(fnvText(name));
  const low = mixBits(fnvText(name, SECOND_SEED)) >>> (32 - LOW_BITS);
  return padded(high * 2 ** LOW_BITS + low || 1);
}

const padded = (number: number): string => String(number).padStart(DIGITS, "0");

/** The token of an offset; messages behind it, up to `erased`, had been erased before its reader came there. */
export function tokenOf(lives: Lives, offset: number, erased = 0): string {
  if (offset === 0) return `${NO_LIFE}_${NO_LIFE}`;
  const token = `${padded(offset)}_${lifeNumber(lifeAt(lives, offset).name)}`;
  return erased > offset ? `${token}_${padded(erased)}` : token;
}

/** Up to where messages had been erased, by a token; 0: none behind it. */
export const erasedIn = (token: string): number => Number(TOKEN.exec(token)?.[3] ?? 0);

/** Whether a text has the form of a token. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/** The offset of a token; undefined if its log, or that part of it, is gone. */
export function offsetOf(lives: Lives, token: string): number | undefined {
  const [, digits = "", life = ""] = TOKEN.exec(token) ?? [];
  const offset = Number(digits);
  if (digits === NO_LIFE) return life === NO_LIFE ? 0 : undefined;
  const found = lives.findLast(({ name }) => lifeNumber(name) === life);
  const last = found === undefined ? undefined : lastOf(lives, found.name);
  return last === undefined || offset > last || !Number.isSafeInteger(offset) ? undefined : offset;
}
