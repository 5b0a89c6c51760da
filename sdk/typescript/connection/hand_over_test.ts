// The move to another Shield, with a scripted peer: which frames go to which connection, and what the loops receive if
// the other Shield is unavailable or fails during the move.
import assert from "node:assert/strict";
import { decodeClientFrame, encodeAck, encodeMsg, encodePing, encodePong } from "@arqon/proto";
import { plainEnvelope, writeEnvelope } from "@arqon/proto";
import type { ClientOperation } from "@arqon/proto";
import { until } from "../../../shared/testing/until.ts";
import { connect, type Message, type Subscription } from "../mod.ts";
import { bytes, LIMITS, type Peer, quick, startPeer, welcome } from "../testing/scripted_peer.ts";

const ROOM = "lobby";

/** One socket from the peer's side. */
interface Line {
  readonly index: number;
  readonly socket: WebSocket;
  /** The kinds of received frames, in order; of publishes the text. */
  readonly came: string[];
}

interface Script {
  /** A custom answer instead of the default; true if it has answered. */
  readonly answer?: (line: Line, operation: ClientOperation) => boolean;
  readonly open?: (line: Line) => void;
  readonly refuse?: (index: number) => boolean;
}

interface Moving extends AsyncDisposable {
  readonly peer: Peer;
  readonly lines: Line[];
}

const twist = (number: number) => `00000000-0000-7000-8000-${String(number).padStart(12, "0")}`;

/** Sends the message with this number; equal numbers are the same message on both connections. */
function say({ socket }: Line, number: number): void {
  socket.send(bytes(encodeMsg(writeEnvelope({
    room_id: ROOM,
    sender_id: "bob",
    headers: { "X-Twist-ID": twist(number) },
    event: { type: "n", data: new TextEncoder().encode(String(number)) },
  }))));
}

/** Requests a move on one connection, as a Shield does, or with a sender, as a service might. */
function drain({ socket }: Line, window_ms: number, sender_id = ""): void {
  socket.send(bytes(encodeMsg(writeEnvelope({
    room_id: "",
    sender_id,
    // WELCOME says that the peer's clock stood at 1 when the socket opened.
    signal: { kind: "DRAIN", target: "n", reason: "restart", until_ms: 1 + window_ms },
  }))));
}

function answer({ socket, came }: Line, operation: ClientOperation): void {
  const accept = (request_id: number | bigint) =>
    socket.send(bytes(encodeAck({ request_id, code: 0 })));
  if (operation.kind === "pong") came.push("pong");
  else if (operation.kind === "ping") {
    came.push("ping");
    socket.send(bytes(encodePong(operation.body)));
  } else if (operation.kind === "subscribe") {
    came.push("sub");
    accept(operation.subscribe.request_id);
  } else if (operation.kind === "publish") {
    const { event } = plainEnvelope(operation.envelope);
    came.push(`pub ${new TextDecoder().decode(event?.data)}`);
    accept(operation.envelope.request_id);
  }
}

function startMoving(script: Script = {}): Moving {
  const lines: Line[] = [];
  const at = (socket: WebSocket) => lines.find((line) => line.socket === socket) as Line;
  const peer = startPeer({
    ...(script.refuse === undefined ? {} : { refuse: script.refuse }),
    http: () => Response.json({ status: 503, reason: "draining", detail: "" }, { status: 503 }),
    open(socket, index) {
      const line = { index, socket, came: [] };
      lines.push(line);
      welcome(socket);
      script.open?.(line);
    },
    message(socket, data) {
      const operation = decodeClientFrame(new Uint8Array(data), LIMITS);
      const line = at(socket);
      if (script.answer?.(line, operation) !== true) answer(line, operation);
    },
  });
  return { peer, lines, [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose]() };
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
        answer(line, operation);
        for (const number of [4, 5, 6]) say(line, number);
        for (const number of [3, 4]) say(old as Line, number);
        return true;
      }
      if (line.index === 0 && operation.kind === "ping") {
        say(line, 5);
        answer(line, operation);
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
  const { options, statuses } = quick(it.peer.url);
  await using connection = await connect({ ...options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  const [old] = it.lines;
  say(old as Line, 1);
  say(old as Line, 2);
  drain(old as Line, 60_000);
  assert.equal(await closed.promise, 1000);
  const [, next] = it.lines;
  say(next as Line, 7);
  assert.deepEqual(await take(messages, 7), ["1", "2", "3", "4", "5", "6", "7"]);
  await until("the second Shield's status", () => statuses.length >= 3);
  assert.deepEqual(statuses.map(({ state }) => state), ["connecting", "open", "open"]);
  assert.equal(await connection.room(ROOM).publish("n", "8").then(({ code }) => code), 0);
  assert.deepEqual((next as Line).came.filter((what) => what !== "ping"), ["sub", "pub 8"]);
});

Deno.test("sent requests are answered on the old connection before anything is sent on the new one", async () => {
  const held: (() => void)[] = [];
  await using it = startMoving({
    answer(line, operation) {
      if (line.index !== 0 || operation.kind !== "publish") return false;
      held.push(() => answer(line, operation));
      line.came.push("held");
      return true;
    },
    // It is answered behind WELCOME: whoever answers has begun to move.
    open: (line) => line.index === 1 && line.socket.send(bytes(encodePing(new Uint8Array()))),
  });
  await using connection = await connect({ ...quick(it.peer.url).options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  const room = connection.room(ROOM);
  const first = room.publish("n", "1");
  await until("the held publish", () => held.length === 1);
  const [old] = it.lines;
  drain(old as Line, 60_000);
  await until("the pause of the SDK", () => it.lines[1]?.came.includes("pong") === true);
  const second = room.publish("n", "2");
  held[0]?.();
  assert.equal((await first).code, 0);
  assert.equal((await second).code, 0);
  const on_new_line = it.lines[1]?.came.filter((what) => what !== "ping");
  assert.deepEqual(on_new_line, ["pong", "sub", "pub 2"]);
  assert.deepEqual(old?.came, ["sub", "held", "pub 1", "ping"]);
});

Deno.test("a new connection that fails during the move is dropped, and another one tried", async () => {
  await using it = startMoving({
    answer(line, operation) {
      if (line.index !== 1 || operation.kind !== "subscribe") return false;
      line.socket.close(1011, "");
      return true;
    },
  });
  await using connection = await connect({ ...quick(it.peer.url).options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  const [old] = it.lines;
  drain(old as Line, 60_000);
  await until(
    "the third line and the old one's close",
    () => it.lines.length === 3 && old?.socket.readyState === WebSocket.CLOSED,
  );
  say(it.lines[2] as Line, 1);
  assert.deepEqual(await take(messages, 1), ["1"], "no GAP");
  assert.equal((await connection.room(ROOM).publish("n", "2")).code, 0);
  assert.ok(it.lines[2]?.came.includes("pub 2"));
});

Deno.test("an old connection that fails during the move is a reported loss", async () => {
  await using it = startMoving({
    answer(line, operation) {
      if (line.index !== 0 || operation.kind !== "ping") return false;
      line.socket.close(1011, "");
      return true;
    },
  });
  await using connection = await connect({ ...quick(it.peer.url).options, random: () => 0 });
  using messages = connection.room(ROOM).subscribe();
  await messages.ready;
  drain(it.lines[0] as Line, 60_000);
  assert.deepEqual(await take(messages, 1), ["GAP reconnect"]);
  say(it.lines[1] as Line, 1);
  assert.deepEqual(await take(messages, 1), ["1"]);
  assert.equal(it.lines.length, 2, "the line that was there already is taken");
});

Deno.test("a room that both sessions temporarily refused is retried on the remaining one", async () => {
  const refuse = ({ socket }: Line, request_id: number | bigint, retry_after_ms: number) => {
    const refusal = {
      request_id,
      code: 503,
      reason: "log-unavailable",
      message: "",
      retry_after_ms,
    };
    socket.send(bytes(encodeAck(refusal)));
  };
  let first_id: number | bigint = 0;
  let asked = 0;
  await using moving = startMoving({
    answer(line, operation) {
      const [old] = moving.lines;
      if (operation.kind === "subscribe" && line.index === 0) {
        first_id = operation.subscribe.request_id;
        drain(line, 0);
        return true;
      }
      if (operation.kind === "subscribe" && ++asked === 1) {
        refuse(line, operation.subscribe.request_id, 50);
        line.socket.send(bytes(encodePing()));
        return true;
      }
      // The refusal on the next session has been heard: now that on the old one, and its end.
      if (operation.kind === "pong" && line.index === 1 && old !== undefined) {
        refuse(old, first_id, 1);
        old.socket.close(1012, "restart");
      }
      return false;
    },
  });
  await using connection = await connect(quick(moving.peer.url).options);
  using messages = connection.room(ROOM).subscribe();
  let isReady = false;
  messages.ready.then(() => isReady = true, () => {});
  await until("the room is heard", () => isReady);
  assert.equal(asked, 2);
});

Deno.test("a room that only the next session has accepted is ready after the move", async () => {
  await using moving = startMoving({
    answer(line, operation) {
      if (operation.kind !== "subscribe" || line.index > 0) return false;
      drain(line, 0);
      return true;
    },
  });
  await using connection = await connect(quick(moving.peer.url).options);
  using messages = connection.room(ROOM).subscribe();
  let isReady = false;
  messages.ready.then(() => isReady = true, () => {});
  await until("the room is ready", () => isReady);
  say(moving.lines[1] as Line, 1);
  assert.deepEqual(await take(messages, 1), ["1"], "no GAP: nothing was heard before");
});
