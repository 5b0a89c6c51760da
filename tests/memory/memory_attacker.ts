/**
 * A worker for `memory_test.ts`: one client that sends one endless message. The first message is its order: it connects
 * and reports that; it begins at the second one, so that several begin together.
 */
import { pace } from "../../shared/testing/pace.ts";
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  PING,
  PONG,
  rawFrame,
  RawPeer,
} from "../../shield/socket/testing/conformance_peer.ts";

const FRAGMENT_BYTES = 65_000;
const WAIT_MS = 60_000;

/** How an attacker handles the Shield's frames. */
export interface Manner {
  /** Answers the WebSocket pings, between fragments. */
  readonly pongs: boolean;
  /** Answers the close frame. */
  readonly closes: boolean;
}

/** The worker's order. */
export interface Attack {
  readonly url: string;
  readonly token: string;
  readonly manner: Manner;
  /** Between two fragments; 0: as fast as they are accepted. */
  readonly pace_ms: number;
}

/** The worker's reports. */
export type AttackerNews = { readonly kind: "connected" } | {
  readonly kind: "over";
  readonly is_notified: boolean;
};

async function connect({ url, token }: Attack): Promise<RawPeer> {
  const peer = await RawPeer.connect(url, [`Authorization: Bearer ${token}`]);
  if (peer.head.startsWith("HTTP/1.1 101 ")) return peer;
  throw new Error(peer.head);
}

/** Sends fragments until the connection ends; resolves with whether it was asked to close. */
async function attack(peer: RawPeer, { manner, pace_ms }: Attack): Promise<boolean> {
  let is_notified = false;
  let over = false;
  const answers: Uint8Array[] = [];
  // Also undefined when this side has closed, or the Shield has sent nothing for that long.
  const next = () => peer.frame(WAIT_MS).catch(() => undefined);
  const reading = (async () => {
    for (let frame = await next(); frame !== undefined; frame = await next()) {
      if (frame.opcode === PING && manner.pongs) answers.push(rawFrame(PONG, frame.body));
      if (frame.opcode !== CLOSE) continue;
      is_notified = true;
      if (manner.closes) answers.push(rawFrame(CLOSE, frame.body.slice(0, 2)));
    }
    over = true;
  })();
  const fragment = rawFrame(CONTINUATION, new Uint8Array(FRAGMENT_BYTES), false);
  try {
    await peer.write(rawFrame(BINARY, new Uint8Array(FRAGMENT_BYTES), false));
    while (!over) {
      for (const answer of answers.splice(0)) await peer.write(answer);
      await peer.write(fragment);
      if (pace_ms > 0) await pace(pace_ms);
    }
  } catch {
    // Nobody reads it now.
  }
  peer[Symbol.dispose]();
  await reading;
  return is_notified;
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Attack>) => void;
  postMessage(news: AttackerNews): void;
};
scope.onmessage = async ({ data }) => {
  const peer = await connect(data);
  scope.onmessage = async () => {
    scope.postMessage({ kind: "over", is_notified: await attack(peer, data) });
  };
  scope.postMessage({ kind: "connected" });
};
