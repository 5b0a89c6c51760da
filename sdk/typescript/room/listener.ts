/**
 * A room heard by a function instead of a loop: `Room.listen`. One message at a time.
 */
import { ArqonError } from "@arqon/proto";
import type { Message } from "../message/message.ts";
import type { Position } from "../durable/position.ts";
import type { Presence } from "../presence/presence.ts";
import type { Subscription } from "../subscription/subscription.ts";

/**
 * Receives one message, also one of the system (`message.signal`). What it returns is awaited before
 * the next message; those that come meanwhile wait in the buffer.
 */
export type MessageHandler = (message: Message) => void | Promise<void>;

/** A subscription whose messages a function receives. */
export interface Listener {
  readonly room: string;
  /** As `Subscription.ready`. */
  readonly ready: Promise<void>;
  /** As `Subscription.presence`. */
  readonly presence: Presence | undefined;
  /** As `Subscription.position`. */
  readonly position: Position | undefined;
  /** As `Subscription.recovered`. */
  readonly recovered: boolean | undefined;
  /**
   * Resolves when the subscription has ended and the handler is done; rejects with the error that
   * ended it, which `onError` receives as well.
   */
  readonly ended: Promise<void>;
  /** Ends the subscription; messages that the handler has not been given are dropped. */
  close(): void;
  [Symbol.dispose](): void;
}

/** Gives each message to `handler`; `report` receives what fails. */
export function listenTo(
  subscription: Subscription,
  handler: MessageHandler,
  report: (error: ArqonError) => void,
): Listener {
  const run = async () => {
    try {
      for await (const message of subscription) {
        try {
          await handler(message);
        } catch (cause) {
          report(new ArqonError("handler-failed", `room ${subscription.room}`, { cause }));
        }
      }
    } catch (error) {
      if (error instanceof ArqonError) report(error);
      throw error;
    }
  };
  const ended = run();
  // Who does not look at `ended` has `onError`.
  ended.catch(() => {});
  // What it knows of the room is the subscription's, and stays so.
  return Object.assign(Object.create(subscription), { ended });
}
