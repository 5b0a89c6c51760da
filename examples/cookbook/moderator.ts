/**
 * Moderation: a bot warns users for a forbidden word, and removes a user from the room for ten minutes after the third.
 * Its token has the role service. Content that nobody may see at all needs a policy.
 */
import process from "node:process";
import { connect, type Message } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";

const STRIKES = 3;
const OUT_MS = 600_000;
const [url = "", token = "", room_id = "lobby", ...words] = process.argv.slice(2);
const bus = await connect({ url, token });
const room = bus.room(room_id);
/** The bus stores the strikes, so a restarted bot has them. */
const notes = roomState(bus.room(`mod-${room_id}`));

async function judge(message: Message): Promise<void> {
  if (message.signal !== undefined || message.type !== "chat") return;
  const text = message.text().toLowerCase();
  const word = words.find((one) => text.includes(one));
  if (word === undefined) return;
  const { value } = await notes.get(message.sender);
  const strikes = Number(value ?? 0) + 1;
  await notes.set(message.sender, strikes);
  if (strikes < STRIKES) await room.publish("warning", { user: message.sender, strikes });
  else await room.ban(message.sender, { scope: "room", ttl_ms: OUT_MS, reason: `said ${word}` });
  console.log(`${message.sender}: ${strikes} of ${STRIKES}`);
}

const listener = room.listen(judge, { no_echo: true });
await listener.ready;
console.log(`watching ${room_id}`);
await listener.ended;
