/**
 * The behaviour of every implementation with a peer that sends too much, does not read, or does not leave: turns,
 * rests, and forced ends. It is counted in turns of the event loop, never in time. The rest of the suite is
 * `conformance.ts`.
 */
import assert from "node:assert/strict";
import { until } from "../../../shared/testing/until.ts";
import { type Case, open, opened, type Seen } from "./conformance.ts";
import { BINARY, CLOSE, CONTINUATION, PING, PONG, rawFrame, TEXT } from "./conformance_peer.ts";
import type { RawPeer } from "./conformance_peer.ts";
import { LOOK_FRAMES, TURN_FRAMES } from "../../../shared/turns/fair_turns.ts";

const NOTHING = new Uint8Array(0);
/** The time to answer a close, in cases in which the peer never does, in ms. */
const CLOSE_MS = 1_000;

/** A clock that advances by a second at each reading. */
let slow_ms = 0;
const slowClock = () => slow_ms += 1_000;

/** That many frames as one piece. */
function repeated(frame: Uint8Array, count: number): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(frame.length * count);
  for (let at = 0; at < all.length; at += frame.length) all.set(frame, at);
  return all;
}

/** Text messages "0", "1", … as one piece. */
function numbered(count: number, from = 0): Uint8Array<ArrayBuffer> {
  const frames = Array.from(
    { length: count },
    (_, at) => rawFrame(TEXT, new TextEncoder().encode(String(from + at))),
  );
  return new Uint8Array(frames.flatMap((frame) => [...frame]));
}

const numbers = (count: number) => Array.from({ length: count }, (_, at) => String(at));

/** The most messages of a socket between two turns of the event loop. */
async function mostInTurn(seen: Seen, done: () => boolean): Promise<number> {
  let most = 0;
  let now = 0;
  let counting = true;
  seen.onmessage = () => most = Math.max(most, ++now);
  const turn = () => {
    now = 0;
    if (counting) setImmediate(turn);
  };
  turn();
  await until("all messages", done).finally(() => counting = false);
  return most;
}

/** Sends until the server is gone. */
async function goOn(peer: RawPeer, bytes: Uint8Array): Promise<void> {
  try {
    for (;;) await peer.write(bytes);
  } catch {
    // Cut off.
  }
}

const TURNS: readonly Case[] = [
  {
    behaviour: "delivers a turn's share of the received messages, all in order",
    run: opened(async ({ peer, seen }) => {
      const counted = mostInTurn(seen, () => seen.events.length === 5_001);
      await peer.write(numbered(5_000));
      // The share of one turn, and of the next one as soon as it begins.
      const most = await counted;
      assert(most <= 2 * TURN_FRAMES, `${most} in one turn`);
      assert.deepEqual(seen.events.slice(1), numbers(5_000));
    }),
  },
  {
    behaviour: "delivers less in a turn if its messages take long",
    options: { now_ms: slowClock },
    run: opened(async ({ peer, seen }) => {
      const counted = mostInTurn(seen, () => seen.events.length === 1_001);
      await peer.write(numbered(1_000));
      const most = await counted;
      assert(most <= 2 * LOOK_FRAMES, `${most} in one turn`);
      assert.deepEqual(seen.events.slice(1), numbers(1_000));
    }),
  },
  {
    behaviour: "another peer's message is delivered between those of a flood",
    async run(host) {
      const flooding = await open(host);
      const other = await open(host);
      using peer = flooding.peer;
      using _other = other.peer;
      let before = Infinity;
      other.seen.onmessage = () => before = flooding.seen.events.length;
      const writing = peer.write(repeated(rawFrame(BINARY, NOTHING), 30_000));
      await flooding.seen.count(2);
      await other.peer.write(rawFrame(BINARY, NOTHING));
      await writing;
      await flooding.seen.count(30_001);
      assert(before < 30_001, "it came last");
    },
  },
  {
    behaviour: "messages before a close are delivered before it",
    run: opened(async ({ peer, seen }) => {
      await peer.write(
        new Uint8Array([...numbered(2_000), ...rawFrame(CLOSE, new Uint8Array([0x0f, 0xa1]))]),
      );
      await peer.leave();
      assert.equal(await seen.closed(), 4001);
      assert.deepEqual(seen.events.slice(1, -1), numbers(2_000));
    }),
  },
  {
    behaviour: "a flood of pings does not block others, and its last ping is answered",
    async run(host) {
      const flooding = await open(host);
      const other = await open(host);
      using peer = flooding.peer;
      using _other = other.peer;
      const last = new TextEncoder().encode("last");
      const pings = repeated(rawFrame(PING, NOTHING), 20_000);
      const writing = (async () => {
        await peer.write(pings);
        await peer.write(rawFrame(PING, last));
      })();
      await other.peer.write(rawFrame(BINARY, NOTHING));
      await other.seen.count(2);
      for (;;) {
        const frame = await peer.frame();
        assert.equal(frame?.opcode, PONG);
        if (frame?.body.length === last.length) break;
      }
      await writing;
    },
  },
  {
    behaviour: "a sender faster than its turns is back-pressured and loses nothing",
    except: { native: "its messages queue in the Shield; beyond a limit it is closed with 4429" },
    options: { waiting_messages: 500 },
    run: opened(async ({ peer, seen }, host) => {
      await peer.write(numbered(3_000));
      if (host.implementation !== "native") {
        return assert.deepEqual((await seen.count(3_001)).slice(1), numbers(3_000));
      }
      await until("the flood to be noticed", () => seen.events.includes("flooded"));
      const handed_out = seen.events.indexOf("flooded") - 1;
      assert.deepEqual(seen.events.slice(1, handed_out + 1), numbers(handed_out));
      assert(handed_out < 3_000);
    }),
  },
];

const RESTS: readonly Case[] = [
  {
    behaviour: "a client over a rate is not read until its rate allows",
    except: { native: "it is read, and refused" },
    run: opened(async ({ peer, seen }, host) => {
      let began_ms = 0;
      let rested_ms = 0;
      seen.onmessage = () => {
        if (seen.events.length === 2) {
          began_ms = performance.now();
          seen.socket.rest(300);
        } else rested_ms ||= performance.now() - began_ms;
      };
      await peer.write(numbered(1_000));
      assert.deepEqual((await seen.count(1_001)).slice(1), numbers(1_000));
      if (host.implementation === "native") return;
      assert(rested_ms >= 299, `${rested_ms} ms`);
      // Reading continues.
      await peer.write(numbered(1, 1_000));
      await seen.count(1_002);
    }),
  },
  {
    behaviour: "an idle client that is closed answers the close at once",
    run: opened(async ({ peer, seen }) => {
      seen.onmessage = () => {
        seen.socket.rest(60_000);
        seen.socket.close(1012, "restart");
      };
      await peer.write(rawFrame(BINARY, NOTHING));
      assert.equal(await peer.closeCode(), 1012);
      await peer.write(rawFrame(CLOSE, new Uint8Array([3, 0xf4])));
      peer[Symbol.dispose]();
      assert.equal(await seen.closed(), 1012);
    }),
  },
];

const ENDS: readonly Case[] = [
  {
    behaviour: "a client that sends messages after the close is cut off, and none is delivered",
    options: { close_ms: CLOSE_MS },
    run: opened(async ({ peer, seen }) => {
      const going_on = goOn(peer, repeated(rawFrame(BINARY, NOTHING), 10_000));
      await seen.count(100);
      const { length } = seen.events;
      seen.socket.close(4429, "flooding");
      await seen.closed();
      assert.equal(seen.events.length, length + 1);
      await going_on;
    }),
  },
  {
    behaviour: "a client that sends fragments after the close is cut off",
    options: { close_ms: CLOSE_MS },
    except: { native: "it is read until the message ends or the memory guard acts" },
    run: opened(async ({ peer, seen }, host) => {
      if (host.implementation === "native") return assert.equal(seen.socket.terminate(), false);
      await peer.write(rawFrame(BINARY, NOTHING, false));
      const going_on = goOn(peer, repeated(rawFrame(CONTINUATION, NOTHING, false), 10_000));
      seen.socket.close(1012, "restart");
      await seen.closed();
      await going_on;
    }),
  },
  {
    behaviour: "a client that does not answer the close within five seconds is cut off",
    options: { close_ms: CLOSE_MS },
    except: { native: "it stays until it leaves or sends something" },
    run: opened(async ({ peer, seen }, host) => {
      seen.socket.close(1012, "restart");
      assert.equal(await peer.closeCode(), 1012);
      if (host.implementation === "native") return assert.equal(seen.socket.terminate(), false);
      assert.equal(await seen.closed(), 1006);
    }),
  },
  {
    behaviour: "a client that neither reads nor leaves is cut off when its close times out",
    options: { close_ms: CLOSE_MS },
    except: { native: "it stays, with its unsent data" },
    run: opened(async ({ seen }, host) => {
      for (let frames = 0; frames < 300; frames++) seen.socket.send(new Uint8Array(100_000));
      assert(seen.socket.bufferedAmount > 1_000_000);
      seen.socket.close(4429, "slow-consumer");
      if (host.implementation === "native") return assert.equal(seen.socket.terminate(), false);
      assert.equal(await seen.closed(), 1006);
      assert.equal(seen.socket.bufferedAmount, 0);
    }),
  },
];

/** Turns, rests, ends. */
export const FAIR_CASES: readonly Case[] = [...TURNS, ...RESTS, ...ENDS];
