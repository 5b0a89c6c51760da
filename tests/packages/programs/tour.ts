/**
 * A small program with the published packages, the same for every runtime: only web platform APIs, and no syntax that
 * needs a transpiler. Not a test: it returns its observations.
 */
import { ArqonError, connect } from "@arqon/sdk";
import type { Connection, Message, PresenceSubscription } from "@arqon/sdk";
import { roomState } from "@arqon/sdk/state";
import { history } from "@arqon/sdk/history";

/** The time limit of a step, in ms. */
const PATIENCE_MS = 20_000;

async function next(loop: PresenceSubscription): Promise<Message> {
  const { value, done } = await loop.next();
  if (done === true) throw new Error("the loop has ended");
  return value;
}

async function visit(bus: Connection, name: string): Promise<string[]> {
  const seen: string[] = [];
  const room = bus.room(`durable-${name}`);
  const loop = room.subscribe({ presence: true, member_meta: { from: name } });
  await loop.ready;
  seen.push(`members ${loop.presence.count}`);

  const ack = await room.publish("chat", { text: `hello from ${name}` });
  const message = await next(loop);
  const { text } = message.json() as { text: string };
  seen.push(`heard ${message.type}: ${text}`);
  if (message.offset !== ack.offset) throw new Error("the ACK is of another message");

  const state = roomState(room);
  const { version, epoch } = await state.set("topic", "tea");
  const { value } = await state.get("topic");
  await state.set("topic", "coffee", { expect_version: version, epoch });
  seen.push(`state ${value}`);

  const { fence } = await room.lock({ ttl_ms: 5_000 });
  await room.unlock(fence);
  const refused = await room.unlock(fence).catch((error) => error);
  if (!(refused instanceof ArqonError)) throw new Error("a lock was given back twice");
  seen.push(`lock, then ${refused.reason}`);

  const { messages } = await history(room, { limit: 10 });
  seen.push(`history ${messages.map((kept) => kept.type).join()}`);
  loop.close();
  return seen;
}

/** Uses each capability once in a room of that name and returns the results. Rejects if it cannot. */
export async function tour(
  url: string,
  token: string,
  name: string,
  open: typeof connect = connect,
): Promise<string[]> {
  const bus = await open({ url, token, request_timeout_ms: PATIENCE_MS });
  try {
    const seen = await visit(bus, name);
    return [...seen, `version ${bus.welcome.protocol_version}`];
  } finally {
    await bus.close();
  }
}
