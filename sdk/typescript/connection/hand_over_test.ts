// The move to another Shield, with a scripted peer: which frames go to which connection, and what the loops receive if
// the other Shield is unavailable or fails during the move.
import assert from "node:assert/strict";
import { type ClientOperation, encodePing, encodePong, plainEnvelope } from "@arqon/proto";
import type { Subscribe } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type Message, type Subscription } from "../mod.ts";
import { type Line, type Peer, quick, ROOM, startPeer } from "../testing/scripted_peer.ts";

interface Script {
  /** A custom answer instead of the default; true if it has answered. */
  readonly answer?: (line: Line, operation: ClientOperation) => boolean;
  readonly open?: (line: Line) => void;
}

interface Moving extends Peer {
  /** By line, the kinds of received frames, in order; of publishes the text. */
  readonly came: string[][];
  answer(line: Line, operation: ClientOperation): void;
}

const twist = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;

/** Sends the message with this number; equal numbers are the same message on both connections. */
function say(line: Line | undefined, number: number): void {
  line?.say({
    sender_id: "bob",
    headers: { "X-Twist-ID": twist(number) },
    event: { type: "n", data: new TextEncoder().encode(String(number)) },
  });
}

function startMoving(script: Script = {}): Moving {
  const came: string[][] = [];
  const answer = (line: Line, operation: ClientOperation) => {
    const took = came[line.index]!;
    if (operation.kind === "pong") took.push("pong");
    else if (operation.kind === "ping") {
      took.push("ping");
      line.send(encodePong(operation.body));
    } else if (operation.kind === "subscribe") {
      took.push("sub");
      line.accept(operation.subscribe);
    } else if (operation.kind === "publish") {
      const { event } = plainEnvelope(operation.envelope);
      took.push(`pub ${new TextDecoder().decode(event?.data)}`);
      line.accept(operation.envelope);
    }
  };
  const peer = startPeer({
    http: () => Response.json({ status: 503, reason: "draining", detail: "" }, { status: 503 }),
    open(line) {
      came[line.index] = [];
      line.welcome();
      script.open?.(line);
    },
    hear(line, operation) {
      if (script.answer?.(line, operation) !== true) answer(line, operation);
    },
  });
  return Object.assign(peer, { came, answer });
}

const shown = (message: Message | undefined) =>
  message?.signal === undefined ? message?.text() : `GAP ${message.signal.reason}`;

async function take(messages: Subscription, count: number): Promise<(string | undefined)[]> {
  const taken: (string | undefined)[] = [];
  while (taken.length < count) taken.push(shown((await messages.next()).value));
  return taken;
}

Deno.test("both connections deliver: each message arrives once, in order, and the old one is closed with 1000", async () => {
  const closed = Promise.withResolvers<number>();
  await using it = startMoving({
    answer(line, operation) {
      const [old] = it.lines;
      if (line.index === 1 && operation.kind === "subscribe") {
        // Before its ACK the start of the new connection is unknown.
        say(line, 2);
        it.answer(line, operation);
        for (const number of [4, 5, 6]) say(line, number);
        for (const number of [3, 4]) say(old, number);
        return true;
      }
      if (line.index === 0 && operation.kind === "ping") {
        say(line, 5);
        it.answer(line, operation);
        // Too late to count: the new line has it.
        say(line, 6);
        return true;
      }
      return false;
    },
    open(line) {
      line.socket.onclose = ({ code }) => line.index === 0 && closed.resolve(code);
    },
  });
  const { options, statuses } = quick(it.url);
  await using connection = await connect({ ...options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  const [old] = it.lines;
  say(old, 1);
  say(old, 2);
  old?.drain();
  assert.equal(await closed.promise, 1000);
  const [, next] = it.lines;
  say(next, 7);
  assert.deepEqual(await take(messages, 7), ["1", "2", "3", "4", "5", "6", "7"]);
  await until("the second Shield's status", () => statuses.length >= 3);
  assert.deepEqual(statuses.map(({ state }) => state), ["connecting", "open", "open"]);
  assert.equal(await connection.room(ROOM).publish("n", "8").then(({ code }) => code), 0);
  assert.deepEqual(it.came[1]?.filter((what) => what !== "ping"), ["sub", "pub 8"]);
});

Deno.test("sent requests are answered on the old connection before anything is sent on the new one", async () => {
  const held: (() => void)[] = [];
  await using it = startMoving({
    answer(line, operation) {
      if (line.index !== 0 || operation.kind !== "publish") return false;
      held.push(() => it.answer(line, operation));
      it.came[0]?.push("held");
      return true;
    },
    // It is answered behind WELCOME: whoever answers has begun to move.
    open: (line) => line.index === 1 && line.send(encodePing()),
  });
  await using connection = await connect({ ...quick(it.url).options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  const room = connection.room(ROOM);
  const first = room.publish("n", "1");
  await until("the held publish", () => held.length === 1);
  const [old] = it.lines;
  old?.drain();
  await until("the pause of the SDK", () => it.came[1]?.includes("pong") === true);
  const second = room.publish("n", "2");
  held[0]?.();
  assert.equal((await first).code, 0);
  assert.equal((await second).code, 0);
  const on_new_line = it.came[1]?.filter((what) => what !== "ping");
  assert.deepEqual(on_new_line, ["pong", "sub", "pub 2"]);
  assert.deepEqual(it.came[0], ["sub", "held", "pub 1", "ping"]);
});

Deno.test("a new connection that fails during the move is dropped, and another one tried", async () => {
  await using it = startMoving({
    answer(line, operation) {
      if (line.index !== 1 || operation.kind !== "subscribe") return false;
      line.socket.close(1011, "");
      return true;
    },
  });
  await using connection = await connect({ ...quick(it.url).options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  const [old] = it.lines;
  old?.drain();
  await until(
    "the third line and the old one's close",
    () => it.lines.length === 3 && old?.is_closed === true,
  );
  say(it.lines[2], 1);
  assert.deepEqual(await take(messages, 1), ["1"], "no GAP");
  assert.equal((await connection.room(ROOM).publish("n", "2")).code, 0);
  assert.ok(it.came[2]?.includes("pub 2"));
});

Deno.test("an old connection that fails during the move is a reported loss", async () => {
  await using it = startMoving({
    answer(line, operation) {
      if (line.index !== 0 || operation.kind !== "ping") return false;
      line.socket.close(1011, "");
      return true;
    },
  });
  await using connection = await connect({ ...quick(it.url).options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  it.lines[0]?.drain();
  assert.deepEqual(await take(messages, 1), ["GAP reconnect"]);
  say(it.lines[1], 1);
  assert.deepEqual(await take(messages, 1), ["1"]);
  assert.equal(it.lines.length, 2, "the line that was there already is taken");
});

Deno.test("a room that both sessions temporarily refused is retried on the remaining one", async () => {
  const refuse = (line: Line, sub: Subscribe | undefined, retry_after_ms: number) =>
    sub && line.refuse(sub, 503, "log-unavailable", retry_after_ms);
  let first: Subscribe | undefined;
  let requests = 0;
  await using moving = startMoving({
    answer(line, operation) {
      const [old] = moving.lines;
      if (operation.kind === "subscribe" && line.index === 0) {
        first = operation.subscribe;
        line.drain(0);
        return true;
      }
      if (operation.kind === "subscribe" && ++requests === 1) {
        refuse(line, operation.subscribe, 50);
        line.send(encodePing());
        return true;
      }
      // The refusal on the next session has been heard: now that on the old one, and its end.
      if (operation.kind === "pong" && line.index === 1 && old !== undefined) {
        refuse(old, first, 1);
        old.socket.close(1012, "restart");
      }
      return false;
    },
  });
  await using connection = await connect(quick(moving.url).options);
  using messages = connection.room(ROOM).subscribe();
  let isReady = false;
  messages.ready.then(() => isReady = true, () => {});
  await until("the room is received", () => isReady);
  assert.equal(requests, 2);
});

Deno.test("a room that only the next session has accepted is ready after the move", async () => {
  await using moving = startMoving({
    answer(line, operation) {
      if (operation.kind !== "subscribe" || line.index > 0) return false;
      line.drain(0);
      return true;
    },
  });
  await using connection = await connect(quick(moving.url).options);
  using messages = connection.room(ROOM).subscribe();
  let isReady = false;
  messages.ready.then(() => isReady = true, () => {});
  await until("the room is ready", () => isReady);
  say(moving.lines[1] as Line, 1);
  assert.deepEqual(await take(messages, 1), ["1"], "no GAP: nothing was received before");
});
