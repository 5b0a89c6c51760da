/**
 * What producers write and readers must hear, from a message's id alone: so tabs in other processes know it, too.
 */
import { maskedWhole, PARTS } from "../../policies/testing/phrases.ts";

/** Rooms whose messages a policy masks begin so. */
export const MASKED = "orders-masked";
/** The other ones. */
export const PLAIN = "orders-plain";

function randomOf(text: string): (below: number) => number {
  let state = 2_166_136_261;
  for (let at = 0; at < text.length; at++) {
    state = Math.imul(state ^ text.charCodeAt(at), 16_777_619);
  }
  return (below) => {
    state = Math.imul(state ^ (state >>> 15), 2_246_822_519) + 0x9E3779B9;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
}

/** The pieces of a message: of characters of one to four bytes, cut anywhere, a pair of surrogates now and then. */
export function piecesOf(id: string): string[] {
  const random = randomOf(id);
  const count = 60 + random(80);
  let text = `${id}: `;
  for (let at = 0; at < count; at++) text += PARTS[random(PARTS.length)];
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    const size = 1 + random(9);
    pieces.push(text.slice(at, at + size));
    at += size;
  }
  return pieces;
}

/** What its readers may have in the end. */
export function textOf(room: string, id: string): string {
  const text = piecesOf(id).join("");
  return room.startsWith(MASKED) ? maskedWhole(text) : text;
}
