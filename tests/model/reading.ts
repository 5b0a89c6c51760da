/** What the readers of a row have in common. */
import type { TestBus } from "../harness/test_bus.ts";
import type { AdminClient } from "../peers/admin_client.ts";
import type { DurableClient } from "../peers/durable_client.ts";
import type { Row } from "./factors.ts";
import { deliveredTo, HALF, lostOf, type ReceivedMessage } from "./model.ts";

/** The inputs of a reader. */
export interface Seat {
  readonly bus: TestBus;
  /** Of the publishers: with NATS another Shield. */
  readonly entry: TestBus;
  readonly admin: AdminClient;
  readonly tenant: string;
  readonly room: string;
  /** The reader's user. */
  readonly user: string;
  readonly row: Row;
  /** The key of the tenant's app of the Pusher endpoint. */
  readonly app_key: string;
  /** The publisher's connection, for `echo`. */
  readonly own: DurableClient | undefined;
}

/** A place in a room's log; offset 0: the log is empty or missing. */
export interface Place {
  readonly offset: number;
  readonly epoch: string;
}

/** A reader of a room. */
export interface Reader extends AsyncDisposable {
  /** Appends everything before the row's end message to `got`. */
  receive(got: ReceivedMessage[]): Promise<void>;
  /** The receiving user, if not the seat's. */
  readonly user?: string;
  /** Called after half of the messages, with the place of the log's first message. */
  half?(first: Place): Promise<void>;
}

/** A message of the text form, or of server-sent events. */
export interface TextMessage {
  readonly data?: unknown;
  readonly signal?: unknown;
  readonly offset?: number | undefined;
  readonly sender?: string | undefined;
  readonly message_id?: string;
  readonly type?: string | undefined;
  readonly trace_id?: string;
}

/** docs/presence.md: subscribers are notified of bans by ROOM_UPDATE, which is not a message of the row. */
export const isRoomUpdate = (type: string | undefined) => type?.startsWith("ROOM_") === true;
/** Whether it is the end message of a row. */
export const isEnd = (text: string) => text === '{"k":"end"}';
/** Closes it with its reader. */
export const dispose = (one: Disposable | undefined) => () =>
  Promise.resolve(one?.[Symbol.dispose]());

/** Reads messages until the end message; includes signals as such, so that a GAP is never skipped. */
export async function upToEnd(
  next: () => Promise<TextMessage>,
  got: ReceivedMessage[],
): Promise<void> {
  for (;;) {
    const { data, signal, offset, sender, message_id, type, trace_id } = await next();
    if (isRoomUpdate(type)) continue;
    if (signal !== undefined) got.push({ text: `signal ${JSON.stringify(signal)}` });
    else {
      const text = JSON.stringify(data);
      if (isEnd(text)) return;
      got.push({ text, offset, sender, message_id, type, trace_id });
    }
  }
}

/** Whether the row's readers have a message after half of them. */
export const hasFirst = (row: Row): boolean =>
  deliveredTo(row, "text").some((place) => place < HALF);

/** Compares the bus's answer to a reader that returns to that position with the model's. */
export function checkReturn(
  row: Row,
  from: Parameters<typeof lostOf>[1],
  { recovered, reason = "" }: { readonly recovered?: boolean; readonly reason?: string } = {},
): void {
  const lost = lostOf(row, from);
  const answered = `${recovered} ${reason}`;
  const wanted = `${lost === ""} ${lost}`;
  if (answered !== wanted) throw new Error(`recovered ${answered}, the model: ${wanted}`);
}
