/** Appends several messages of a room one after the other, for logs that cannot append them together. */
import type { Appended, DurableLog, NewMessage } from "./durable_log.ts";

/** As `DurableLog.appendAll`, with one request for each message. */
export async function appendInTurn(
  log: Pick<DurableLog, "append">,
  room_id: string,
  messages: readonly NewMessage[],
  expected_last: number,
): Promise<Appended> {
  let last: Appended | undefined;
  for (const { payload, headers = {} } of messages) {
    const options = { headers, expected_last: last?.offset ?? expected_last };
    last = await log.append(room_id, payload, options);
  }
  if (last === undefined) throw new TypeError("no message to append");
  return last;
}
