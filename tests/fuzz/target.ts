/** The interface of a fuzz target: a decoder, its inputs, and the errors that it may throw. Types and small parts. */
import { ArqonError } from "@arqon/proto";
import type { Corpus } from "./mutate.ts";

/** One decoder. */
export interface Target extends Corpus {
  readonly name: string;
  /** Its share of the inputs, relative to the others: fast targets get more. */
  readonly weight: number;
  /**
   * Feeds it. Correct if it returns, or throws an error that `isRefusal` accepts; throws anything else for a fault,
   * also when it accepted invalid input.
   */
  readonly run: (bytes: Uint8Array) => void | Promise<void>;
  /** Its declared refusal. */
  readonly isRefusal: (error: unknown) => boolean;
}

/** Creates a target; some need keys or files first. */
export type MakeTarget = () => Target | Promise<Target>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Text as bytes. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);
/** Bytes as text, with invalid UTF-8 as U+FFFD: decoders of text get strings. */
export const textOf = (bytes: Uint8Array): string => decoder.decode(bytes);
/** Each text as bytes. */
export const wordsOf = (...words: string[]): Uint8Array[] => words.map(utf8);
/** Each value as JSON. */
export const jsonOf = (...values: unknown[]): Uint8Array[] =>
  values.map((value) => utf8(JSON.stringify(value)));

/** A refusal to a client, with one of these codes. */
export function refusesWith(...codes: number[]): (error: unknown) => boolean {
  return (error) => error instanceof ArqonError && codes.includes(error.code);
}
