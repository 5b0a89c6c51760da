/**
 * The order of blocks in a journal: each writer numbers its own, so that a missing or repeated block is detected.
 * `next` of an answer carries the state as text. Pure.
 */
import { createHash } from "node:crypto";
import type { BlockHead, BlockHole } from "../../../shared/journal/block.ts";

/** The most series in an answer's `next`: those that wrote last. */
const SERIES_MAX = 32;
const NODE_BYTES = 6;

/** The form of the text. */
export const SEQUENCE_PATTERN = /^(?:~[\w-]{8}(?:\.[0-9a-z]{1,11}){3}){0,32}$/;

interface Last {
  readonly number: number;
  readonly stored_ms: number;
}

/** The last block read of each series. */
export class BlockSequence {
  readonly #last = new Map<string, Last>();

  /** Continues from the text of an answer. */
  constructor(text: string) {
    for (const part of text.split("~").slice(1)) {
      const [node = "", series = "", number = "", stored = ""] = part.split(".");
      const last = { number: parseInt(number, 36), stored_ms: parseInt(stored, 36) };
      this.#last.set(`${node}.${series}`, last);
    }
  }

  /** The problem before this block; undefined: none, or its series is new. */
  problemOf(head: BlockHead, stored_ms: number): BlockHole | undefined {
    const last = this.#last.get(keyOf(head));
    if (last === undefined || head.number === last.number + 1) return undefined;
    const about = { from_ms: Math.min(last.stored_ms, stored_ms), to_ms: stored_ms };
    return head.number > last.number
      ? { ...about, records: null, why: "removed" }
      : { ...about, records: 0, why: "doubled" };
  }

  add(head: BlockHead, stored_ms: number): void {
    const key = keyOf(head);
    const number = Math.max(head.number, this.#last.get(key)?.number ?? 0);
    this.#last.delete(key);
    this.#last.set(key, { number, stored_ms });
  }

  /** Clears a node's series after an unreadable block of it was reported: its later blocks cannot be checked. */
  forget(node: string): void {
    for (const key of this.#last.keys()) if (key.startsWith(nameOf(node))) this.#last.delete(key);
  }

  /** The state for `next`. */
  text(): string {
    const parts = [...this.#last].slice(-SERIES_MAX).map(([key, { number, stored_ms }]) =>
      `~${key}.${number.toString(36)}.${stored_ms.toString(36)}`
    );
    return parts.join("");
  }
}

const nameOf = (node: string): string =>
  createHash("sha256").update(node).digest().subarray(0, NODE_BYTES).toString("base64url");
const keyOf = ({ node, series }: BlockHead): string => `${nameOf(node)}.${series.toString(36)}`;
