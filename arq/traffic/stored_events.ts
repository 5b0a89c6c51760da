/** The events that durable rooms store, read from their history over a connection. Prints nothing. */
import type { Connection, Message } from "@arqon/sdk";
import { historyPages, patient, storedIn } from "../rooms/history.ts";
import type { Io } from "../terminal/io.ts";
import type { TrafficEvent } from "./schema_checker.ts";

function eventOf(room: string, message: Message): TrafficEvent {
  const { sender, timestamp_ms, offset, content_type, data } = message;
  const about = { room, sender, time_ms: timestamp_ms, offset: Number(offset), id: null };
  return { ...about, content_type, data, was_refused: false };
}

/** Yields the events of a room that its log has now, oldest first, not before `from_ms`. */
export async function* storedEvents(
  io: Io,
  connection: Pick<Connection, "room">,
  room_id: string,
  { from_ms = 0, until_ms = Infinity }: { readonly from_ms?: number; readonly until_ms?: number },
): AsyncGenerator<{ readonly events: readonly TrafficEvent[] }> {
  let end: number | undefined;
  for await (
    const page of historyPages(patient(storedIn(connection.room(room_id)), io), { total: Infinity })
  ) {
    // What comes after the beginning is not waited for.
    end ??= Number(page.offset);
    const last = end;
    const events = page.messages
      .filter((one) => one.signal === undefined && Number(one.offset) <= last)
      .map((one) => eventOf(room_id, one))
      .filter(({ time_ms }) => time_ms >= from_ms && time_ms < until_ms);
    if (events.length > 0) yield { events };
    if (Number(page.messages.at(-1)?.offset ?? last) >= last) return;
    io.signal.throwIfAborted();
  }
}
