/** Values, sizes and digests of rooms with a reducer, for people and for programs. Pure. */
import { utf8OrUndefined } from "@arqon/proto";
import { nextTimer, type RoomState, valuesDigest } from "../../brain/reducers/state/room_state.ts";
import { count, time } from "./figures.ts";

/** A count with its noun in singular or plural. */
export const counted = (number: number, one: string, more: string): string =>
  `${count(number)} ${number === 1 ? one : more}`;

/** Bytes for people and for JSON: text where they are text, else base64. */
export const shown = (bytes: Uint8Array): string =>
  utf8OrUndefined(bytes) ?? `base64:${bytes.toBase64()}`;

/** A key for people and for JSON. */
export const keyText = (key: string): string =>
  shown(Uint8Array.from(key, (one) => one.charCodeAt(0)));

/** Keys that begin with `prefix`, which has one character for each byte, with their values. */
export const valuesOf = ({ values }: RoomState, prefix = ""): (readonly [string, string])[] =>
  [...values.entries()].filter(([key]) => key.startsWith(prefix))
    .map(([key, value]) => [keyText(key), shown(value)] as const);

/** The line of a key and its value. */
export const valueLine = ([key, value]: readonly [string, string]): string => `${key} = ${value}`;

/** How much a room holds. */
export function sizeText(state: RoomState): string {
  const { values, size_bytes, timers } = state;
  const next = nextTimer(state);
  const first = next === undefined ? "" : `, the first at ${time(next.at_ms)}`;
  return `${counted(values.size, "value", "values")} of ${count(size_bytes)} bytes, ` +
    `${counted(timers.size, "timer", "timers")}${first}`;
}

/** The digests that are the same for the same room. */
export const digestsOf = (state: RoomState) => ({
  state: valuesDigest(state).toHex(),
  chain: state.chain.toHex(),
});

/** The same as lines. */
export const digestLines = ({ state, chain }: ReturnType<typeof digestsOf>): string[] => [
  `state  ${state}`,
  `chain  ${chain}`,
];
