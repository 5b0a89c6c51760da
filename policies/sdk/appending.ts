// Pieces of growing messages, checked before any reader receives them. Only for policies of version 2; the compiler
// exports the hook for those that call `onAppend`.
import { beginCall, Verdict } from "./guest.ts";
import { Message } from "./replacing.ts";

let appendHandler: ((piece: Piece) => Verdict) | null = null;
/** Only here so that the hook is compiled with `onAppend`. */
let hook: (() => i32) | null = null;

/**
 * Text that no reader has yet: the text held back earlier, followed by the new piece. `bytes` and `text` are that,
 * `type` and `contentType` those of the message. A refusal ends the message; readers keep the released text.
 */
export class Piece extends Message {
  /** The id of the message in its room. */
  get id(): string {
    return this.reserved("x-arqon-growing");
  }

  /** The end of the released text, up to 128 characters, for decisions that need the text before. */
  get before(): string {
    return this.reserved("x-arqon-growing-before");
  }

  /** Whether the message ends: nothing can be held back. */
  get isLast(): bool {
    return this.header("x-arqon-growing-last") !== null;
  }

  /**
   * Releases this many bytes, counted in the text as this policy leaves it, and holds the rest back until the next
   * piece. Without a call, all of it is released. Of several policies, the one that releases least counts.
   */
  release(bytes: i32): void {
    this.addHeader("release", max(bytes, 0).toString());
  }
}

/** Registers the handler for pieces of growing messages. */
export function onAppend(handler: (piece: Piece) => Verdict): void {
  appendHandler = handler;
  hook = arqon_on_append;
}

/** ABI: a piece is added to a growing message, or a message with held-back text ends. */
export function arqon_on_append(): i32 {
  beginCall();
  const handler = appendHandler;
  return handler === null ? 1 : handler(new Piece());
}
