/**
 * A chat in the terminal: a durable room with its members and earlier messages. For Deno and for Node 22 or newer;
 * `../python/chat.py` works with it. The README explains how to start it.
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { ArqonError, connect } from "@arqon/sdk";
import type { Member, Message, Position, PresenceSubscription, Room } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";

const [url, token, room_id = "durable-chat", nick = "guest"] = process.argv.slice(2);
if (url === undefined || token === undefined) {
  console.error("usage: chat.ts URL TOKEN [ROOM] [NICK]");
  process.exit(2);
}

/** Removes control characters: data of others must not control this terminal. */
const clean = (text: unknown) => String(text ?? "").replace(/\p{Cc}/gu, " ").slice(0, 1_000);
const nickOf = ({ meta, user_id }: Member) =>
  clean((meta as { nick?: unknown } | undefined)?.nick ?? user_id);

/** A line for a message. The user chooses the nick; the bus guarantees the sender. */
function lineOf(message: Message): string {
  if (message.signal !== undefined) return `* ${message.signal.kind}: ${message.signal.reason}`;
  let body: { nick?: unknown; text?: unknown };
  try {
    body = Object(message.json());
  } catch {
    return `* ${message.sender} sent something else`;
  }
  const who = `${clean(body.nick)}@${message.sender}`;
  return message.type === "me" ? `* ${who} ${clean(body.text)}` : `${who}> ${clean(body.text)}`;
}

/**
 * Prints the last messages. Returns the position after them, where the subscription begins; undefined if the room
 * stores nothing.
 */
async function printHistory(room: Room): Promise<Position | undefined> {
  try {
    const { messages, offset, epoch } = await history(room, { limit: 20, reverse: true });
    for (const message of messages.toReversed()) console.log(lineOf(message));
    return { offset, epoch };
  } catch (error) {
    if (error instanceof ArqonError && error.reason === "not-durable") return undefined;
    throw error;
  }
}

async function printPresence({ presence }: PresenceSubscription): Promise<void> {
  for await (const { joined, left } of presence.changes()) {
    for (const member of joined) console.log(`* ${nickOf(member)} is here`);
    for (const member of left) console.log(`* ${nickOf(member)} has left`);
  }
}

async function printMessages(messages: PresenceSubscription): Promise<void> {
  for await (const message of messages) console.log(lineOf(message));
}

/** Sends each typed line, until /quit or the end of the input. */
async function talk(room: Room, { presence }: PresenceSubscription): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const [, command, rest = ""] = /^\/(\S+)\s*(.*)$/.exec(line) ?? [];
    if (command === "quit") return;
    if (command === "who") {
      console.log(`* here: ${[...presence.members.values()].map(nickOf).sort().join(", ")}`);
    } else if (command === undefined || command === "me") {
      const text = command === undefined ? line : rest;
      // The user must know that the message was not stored.
      await room.publish(command ?? "chat", { nick, text })
        .catch((error) => console.log(`* not sent: ${error.message}`));
    } else console.log("* commands: /who, /me TEXT and /quit");
  }
}

/** Ends with whichever ends first: the user, or a bus that puts this client out. */
async function chat(url: string, token: string): Promise<void> {
  const bus = await connect({
    url,
    token,
    onStatus(status) {
      if (status.state === "waiting") console.log(`* offline: ${status.error.message}`);
    },
  });
  const room = bus.room(room_id);
  const position = await printHistory(room);
  const messages = room.subscribe({
    presence: true,
    member_meta: { nick },
    ...(position === undefined ? {} : { position }),
  });
  await messages.ready;
  await Promise.race([talk(room, messages), printMessages(messages), printPresence(messages)]);
  await bus.close();
}

try {
  await chat(url, token);
  // The input may still be open when the bus has ended the chat.
  process.exit(0);
} catch (error) {
  console.error(`chat: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}
