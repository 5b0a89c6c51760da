/** Names of types and variables for what is in a room's schema. Pure. */
import { kindsOf, listedBy, type Shape } from "../../../wasm/reducer/schema/shape.ts";

/** The source file of a program, and its name. */
export interface TypeSource {
  /** The file that the types are made from. */
  readonly source: string;
  /** `Sale`. */
  readonly name: string;
}

/** `highest bid` and `highest_bid` as `HighestBid`. */
export function pascal(text: string): string {
  const words = text.split(/[^A-Za-z0-9]+/).filter((word) => word !== "");
  const name = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("");
  return /^[A-Za-z]/.test(name) ? name : `X${name}`;
}

/** `HighestBid` as `highest_bid`. */
export const snake = (name: string): string =>
  name.replace(/([a-z0-9])([A-Z])/g, "$1_$2").toLowerCase();

/** Allocates names, each only once. */
export class TypeNames {
  readonly #taken: Set<string>;

  constructor(taken: Iterable<string>) {
    this.#taken = new Set(taken);
  }

  take(wanted: string): string {
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number++) name = `${wanted}${number}`;
    this.#taken.add(name);
    return name;
  }
}

/** A line for people; nothing in it can end a comment. */
export const noteText = (text: string): string =>
  text.replaceAll(/\s+/g, " ").replaceAll("*/", "* /").replaceAll('"""', "'''")
    .replaceAll("\\", "/").trim();

/** The kinds of a shape, or of its listed values if it names none; each once. */
export function allKinds(shape: Shape): string[] {
  const kinds: readonly string[] = kindsOf(shape);
  if (kinds.length > 0) return [...kinds];
  const listed = listedBy(shape) ?? [];
  return [...new Set(listed.map((one) => one === null ? "null" : typeof one))];
}
