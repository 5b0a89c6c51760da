/**
 * Unread counters: the number of messages in each room that a user has not read, the same on all devices. A durable
 * room of the user stores what was read. An input line "ROOM" marks that room as read.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { connect } from "@arqon/sdk";
import { history, replay } from "@arqon/sdk/history";

const MOST = 99;
const [url = "", token = "", user = "", ...rooms] = process.argv.slice(2);
const bus = await connect({ url, token });
const inbox = bus.room(`durable-inbox-${user}`);
/** For each room, the offset of the last message that was read. */
const read = new Map<string, number>();

async function show(room: string): Promise<void> {
  const after = read.get(room) ?? 0;
  const { messages, more } = await history(bus.room(room), { after, limit: MOST });
  console.log(`${room}: ${messages.length}${more ? "+" : ""}`);
}

// All stored marks, and then the new ones of this or another device.
const marks = inbox.listen(async (message) => {
  if (message.type !== "read") return;
  const { room, offset } = message.json() as { room: string; offset: number };
  read.set(room, Math.max(offset, read.get(room) ?? 0));
  if (rooms.includes(room)) await show(room);
}, { begin: replay({ from: "start" }) });
await marks.ready;

for (const room of rooms) {
  // With a buffer of 1, a busy room is counted once for all messages that arrived meanwhile.
  await bus.room(room).listen(() => show(room), { buffer: 1 }).ready;
  await show(room);
}

for await (const room of createInterface({ input: process.stdin })) {
  const { offset } = await history(bus.room(room), { reverse: true, limit: 1 });
  await inbox.publish("read", { room, offset: Number(offset) });
}
process.exit(0);
