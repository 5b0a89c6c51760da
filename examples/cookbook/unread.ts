/**
 * Unread counters: how many messages of each room a user has not read, the same on all devices. What was read
 * is in a durable room of the user's own. A line "ROOM" says that the room has been read.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { connect } from "@arqon/sdk";
import { history, replay } from "@arqon/sdk/history";

const MOST = 99;
const [url = "", token = "", user = "", ...rooms] = process.argv.slice(2);
const bus = await connect({ url, token });
const inbox = bus.room(`durable-inbox-${user}`);
/** The offset up to which each room was read. */
const read = new Map<string, number>();

async function show(room: string): Promise<void> {
  const after = read.get(room) ?? 0;
  const { messages, more } = await history(bus.room(room), { after, limit: MOST });
  console.log(`${room}: ${messages.length}${more ? "+" : ""}`);
}

// All that was ever marked, and then what this or another device marks.
const marks = inbox.listen(async (message) => {
  if (message.type !== "read") return;
  const { room, offset } = message.json() as { room: string; offset: number };
  read.set(room, Math.max(offset, read.get(room) ?? 0));
  if (rooms.includes(room)) await show(room);
}, { begin: replay({ from: "start" }) });
await marks.ready;

for (const room of rooms) {
  // One that is busy is counted once for all that has come meanwhile.
  await bus.room(room).listen(() => show(room), { buffer: 1 }).ready;
  await show(room);
}

for await (const room of createInterface({ input: process.stdin })) {
  const { offset } = await history(bus.room(room), { reverse: true, limit: 1 });
  await inbox.publish("read", { room, offset: Number(offset) });
}
process.exit(0);
