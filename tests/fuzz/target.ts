/** What a fuzz target is: a decoder, what is fed to it, and what it may throw. Types and small parts. */
import { ArqonError } from "@arqon/proto";
import type { Corpus } from "./mutate.ts";

/** One decoder. */
export interface Target extends Corpus {
  readonly name: string;
  /** Its share of the inputs, relative to the others: what is quick gets more. */
  readonly weight: number;
  /**
   * Feeds it. Returns, or throws an error that `isRefusal` knows, when all is well; throws anything
   * else when it is not, also when it took what it should not have taken.
   */
  readonly run: (bytes: Uint8Array) => void | Promise<void>;
  /** Its declared refusal. */
  readonly isRefusal: (error: unknown) => boolean;
}

/** Makes a target; some need keys or files first. */
export type MakeTarget = () => Target | Promise<Target>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Text as bytes. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);
/** Bytes as text, what is no UTF-8 as U+FFFD: decoders of text get strings. */
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);
/** Text each. */
export const wordsOf = (...words: string[]): Uint8Array[] => words.map(utf8);
/** JSON each. */
export const jsonOf = (...values: unknown[]): Uint8Array[] =>
  values.map((value) => utf8(JSON.stringify(value)));

/** A refusal to a client, with one of these codes. */
export function refusesWith(...codes: number[]): (error: unknown) => boolean {
  return (error) => error instanceof ArqonError && codes.includes(error.code);
}
