/**
 * A chat in the browser: what was said before, who is here, and what the connection is doing. In the
 * page `index.html`; `serve.ts` bundles and serves both.
 */
import { connect } from "@arqon/sdk";
import type { Connection, Message, PresenceSubscription, Room, Status } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";

/** A room that the development bus keeps. */
const ROOM = "durable-chat";
const HISTORY = 20;

const find = <Kind extends Element>(selector: string) => document.querySelector<Kind>(selector)!;
const join = find<HTMLFormElement>("#join");
const say = find<HTMLFormElement>("#say");
const log = find("#log");

/** Always as text: what others send is no HTML. */
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

/** The nick is what somebody says; the sender is what the bus vouches for. */
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

/** Shows the last messages and goes on right after them: nothing is missed, nothing comes twice. */
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
    // With an id it is repeated when the connection drops, and said once.
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
