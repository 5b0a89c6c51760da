/**
 * A chat in the browser: earlier messages, members, and the state of the connection. It is the script of `index.html`;
 * `serve.ts` bundles and serves both.
 */
import { connect } from "@arqon/sdk";
import type { Connection, Message, PresenceSubscription, Room, Status } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";

/** The development bus stores this room. */
const ROOM = "durable-chat";
const HISTORY = 20;

const find = <Kind extends Element>(selector: string) => document.querySelector<Kind>(selector)!;
const join = find<HTMLFormElement>("#join");
const say = find<HTMLFormElement>("#say");
const log = find("#log");

/** Always sets text: data of others must not become HTML. */
function show(text: string, kind = ""): void {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  log.append(line);
}

function showStatus(status: Status): void {
  find("#state").textContent = status.state === "waiting"
    ? `waiting: ${status.error?.message ?? ""}`
    : status.state;
}

/** The user chooses the nick; the bus guarantees the sender. */
function showMessage(message: Message): void {
  if (message.signal !== undefined) return show(`${message.signal.kind}`, "note");
  if (message.content_type !== "application/json") return show("something else", "note");
  const { nick, text } = Object(message.json()) as { nick?: unknown; text?: unknown };
  show(`${nick} (${message.sender}): ${text}`);
}

async function followMembers({ presence }: PresenceSubscription): Promise<void> {
  for await (const _ of presence.changes()) {
    const nicks = [...presence.members.values()].map(({ meta, user_id }) =>
      (meta as { nick?: string } | null)?.nick ?? user_id
    );
    find("#members").textContent = `here: ${nicks.sort().join(", ")}`;
  }
}

/** Shows the last messages and continues after them, without holes or repeats. */
async function follow(room: Room, nick: string): Promise<void> {
  const { messages, offset, epoch } = await history(room, { limit: HISTORY, reverse: true });
  for (const message of messages.toReversed()) showMessage(message);
  const loop = room.subscribe({
    presence: true,
    member_meta: { nick },
    ...(epoch === "" ? {} : { position: { offset, epoch } }),
  });
  await loop.ready;
  say.hidden = false;
  await Promise.all([
    followMembers(loop),
    (async () => {
      for await (const message of loop) showMessage(message);
    })(),
  ]);
}

function talk(bus: Connection, room: Room, nick: string): void {
  say.onsubmit = async (event) => {
    event.preventDefault();
    const text = String(new FormData(say).get("text"));
    say.reset();
    // The id lets the SDK repeat the message after a lost connection without sending it twice.
    const options = { message_id: crypto.randomUUID() };
    await room.publish("chat", { nick, text }, options).catch((error) => show(`${error}`, "note"));
  };
  globalThis.addEventListener("pagehide", () => bus.close());
}

join.onsubmit = async (event) => {
  event.preventDefault();
  const [url = "", token = "", nick = ""] = ["url", "token", "nick"].map((name) =>
    String(new FormData(join).get(name))
  );
  try {
    const bus = await connect({ url, token, onStatus: showStatus });
    join.hidden = true;
    const room = bus.room(ROOM);
    talk(bus, room, nick);
    await follow(room, nick);
  } catch (error) {
    show(`${error}`, "note");
  }
};
