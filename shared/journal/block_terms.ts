/**
 * The terms of a decision in a block: what identifies nobody as texts in a column, each once; the rest in the sender's
 * section. `block_rows.ts` surrounds it. Pure.
 */
import type { z } from "zod";
import { problemText } from "../problem.ts";
import { type BlockReader, type BlockWriter, DamagedBlock } from "./block_bytes.ts";
import { TextList, TextTable } from "./block_bytes.ts";
import { Terms } from "./record.ts";

/** The parts that many decisions share, in column order. */
const Shared = {
  credential: Terms.shape.credential,
  limits: Terms.shape.limits,
  room_class: Terms.shape.room_class,
  mirror: Terms.shape.mirror,
};
/** The terms in the column: all but the sender's own. */
export type SharedTerms = z.output<z.ZodObject<typeof Shared>>;

const PARTS = Object.keys(Shared) as readonly (keyof SharedTerms)[];

/** Empty, and the mark of a decision without terms. */
const NONE = "";

/** The column of terms being written. A part is the same object as long as its content is. */
export class TermsWriter {
  readonly #texts = new TextTable();
  /** The text of each part; parts repeat. */
  readonly #json = new WeakMap<object, string>();

  /** Starts a part that `rollback` undoes. */
  mark(): void {
    this.#texts.mark();
  }

  rollback(): void {
    this.#texts.rollback();
  }

  /** Throws RangeError for a part that no reader would accept. */
  write(to: BlockWriter, terms: Readonly<Terms> | undefined): void {
    if (terms === undefined) return this.#texts.write(to, NONE);
    for (const name of PARTS) this.#texts.write(to, this.#textOf(name, terms[name]));
  }

  #textOf(name: keyof SharedTerms, part: object | null): string {
    if (part === null) return NONE;
    const known = this.#json.get(part);
    if (known !== undefined) return known;
    const { error } = Shared[name].safeParse(part);
    if (error !== undefined) throw new RangeError(`terms.${name}.${problemText(error)}`);
    const text = JSON.stringify(part);
    this.#json.set(part, text);
    return text;
  }
}

/** The column of terms being read. */
export class TermsReader {
  readonly #texts = new TextList();
  readonly #parts = new Map<string, unknown>();

  /** The terms of the next decision; undefined: none. Throws DamagedBlock. */
  read(from: BlockReader): SharedTerms | undefined {
    const text = this.#texts.read(from);
    if (text === NONE) return undefined;
    return {
      credential: this.#part(Shared.credential, text),
      limits: this.#part(Shared.limits, this.#texts.read(from)),
      room_class: this.#part(Shared.room_class, this.#texts.read(from)),
      mirror: this.#part(Shared.mirror, this.#texts.read(from)),
    };
  }

  #part<T extends z.ZodType>(form: T, text: string): z.output<T> {
    const known = this.#parts.get(text);
    if (known !== undefined) return known as z.output<T>;
    let value: unknown;
    try {
      value = text === NONE ? null : JSON.parse(text);
    } catch {
      throw new DamagedBlock("a part of the terms is no JSON");
    }
    const parsed = form.safeParse(value);
    if (!parsed.success) throw new DamagedBlock("a part of the terms is none");
    this.#parts.set(text, parsed.data);
    return parsed.data;
  }
}
