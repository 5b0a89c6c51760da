/**
 * A bridge in the test's process, between a PostgreSQL and a bus of the same process; `world.ts` has bridges that can
 * be killed.
 */
import { connect, type Connection } from "@arqon/sdk";
import { connectedBus } from "../../arq/bridge/bus.ts";
import { type Reading, runBridge } from "../../arq/bridge/bridge.ts";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const CONFIG = durableRooms("orders-*");

/** A bus with durable rooms `orders-…`, and what a bridge and a reader need from it. */
export interface BridgedBus extends AsyncDisposable {
  readonly peer: HttpPeer;
  readonly connection: Connection;
}

/** Starts one in this process. */
export async function startBridgedBus(): Promise<BridgedBus> {
  const bus: TestBus = await startLocalBus(CONFIG);
  const token = await bus.tokenFor({ role: "service", user: "bridge" });
  const connection = await connect({ url: bus.url, token });
  return {
    peer: new HttpPeer(bus.http_url, bus.token),
    connection,
    async [Symbol.asyncDispose]() {
      connection.close();
      await bus[Symbol.asyncDispose]();
    },
  };
}

interface LocalBridgeOptions {
  readonly slot?: string;
  readonly accept_loss?: boolean;
  readonly reading?: Reading;
}

/** A bridge that runs until it ends on its own or the scope ends. */
export function runLocalBridge(
  { connection }: BridgedBus,
  url: string,
  { slot = "arqon", accept_loss = false, reading = { mode: "replication" } }: LocalBridgeOptions =
    {},
) {
  const stopping = new AbortController();
  const lines: string[] = [];
  const outcomes: string[] = [];
  const running = runBridge({
    database: () => url,
    slot,
    accept_loss,
    accept_hint: "accept",
    reading,
    bus: connectedBus(connection),
    waiting_messages: 2_000,
    now: Date.now,
    monotonic_ms: () => performance.now(),
    say: (text) => void lines.push(text),
    signal: stopping.signal,
    watch: {
      state: () => {},
      waiting: () => {},
      kept: () => {},
      over: (_, outcome) => void outcomes.push(outcome),
    },
  });
  let end: unknown;
  running.then(() => end = "the signal", (error) => end = error);
  const stop = async () => {
    stopping.abort();
    await running.catch(() => {});
  };
  return {
    lines,
    outcomes,
    stop,
    /** The error that ended it; undefined while it runs. */
    end: () => end,
    says: (text: string) =>
      until(
        () => `it says ${text}: ${lines.join("; ")}`,
        () => lines.some((line) => line.includes(text)),
      ),
    [Symbol.asyncDispose]: stop,
  };
}
