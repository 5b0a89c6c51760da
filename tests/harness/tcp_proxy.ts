/**
 * A TCP proxy between a client and a real server, to break a connection in ways that a server cannot: cut it while the
 * server lives on, or pass requests and hold the answers.
 */
import { pace } from "../../shared/testing/pace.ts";
import { freePort } from "./free_ports.ts";

/** A proxy, and its ways to break connections. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Ends every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Listens again, on the same port. */
  restore(): void;
  /** From now on answers are held; a `cut` loses them. */
  holdAnswers(): void;
  /** From now on every read is delayed, in both directions, and limited to this rate. */
  slow(delay_ms: number, bytes_per_second: number): void;
}

interface Pair {
  readonly client: Deno.TcpConn;
  readonly server: Deno.TcpConn;
}

function closeQuietly(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch (error) {
    // Both directions end a pair; the second finds it closed.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

/** The slowness of a connection. */
interface Pace {
  delay_ms: number;
  bytes_per_second: number;
}

/**
 * Forwards bytes until a side ends; while `isHolding` is true they are discarded. Both numbers of the pace become one
 * wait after each read, so that a burst is late as a whole.
 */
async function pump(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  isHolding: () => boolean,
  slow: Pace,
  alter: (bytes: Uint8Array) => void = () => {},
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (;;) {
      const size = await from.read(buffer);
      if (size === null) return;
      if (isHolding()) continue;
      alter(buffer.subarray(0, size));
      const wait_ms = slow.delay_ms + size / slow.bytes_per_second * 1_000;
      if (wait_ms > 0) await pace(wait_ms);
      for (let at = 0; at < size;) at += await to.write(buffer.subarray(at, size));
    }
  } catch {
    // A side that has closed ends the pair, whatever it sent last.
  }
}

/**
 * Starts a proxy on a free port of the loopback interface, to `target_port` there. A function is called for each
 * connection, as a load balancer would choose; undefined: there is no target. `alterAnswers` may change the bytes of
 * answers in place.
 */
export function startTcpProxy(
  target_port: number | (() => number | undefined),
  alterAnswers: (bytes: Uint8Array) => void = () => {},
): TcpProxy {
  const choose = typeof target_port === "function" ? target_port : () => target_port;
  let listener: Deno.TcpListener | undefined;
  let holding = false;
  const slow: Pace = { delay_ms: 0, bytes_per_second: Infinity };
  const pairs = new Set<Pair>();
  const running = new Set<Promise<void>>();

  const join = async (client: Deno.TcpConn): Promise<void> => {
    let server: Deno.TcpConn;
    const port = choose();
    if (port === undefined) return closeQuietly(client);
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port });
    } catch {
      return closeQuietly(client); // The target is down, and so is the proxy for the client.
    }
    const pair = { client, server };
    pairs.add(pair);
    if (listener === undefined) end(pair);
    const answers = pump(server, client, () => holding, slow, alterAnswers);
    await Promise.race([pump(client, server, () => false, slow), answers]);
    end(pair);
  };
  const end = (pair: Pair): void => {
    pairs.delete(pair);
    closeQuietly(pair.client);
    closeQuietly(pair.server);
  };
  const track = (work: Promise<void>): void => {
    running.add(work);
    void work.finally(() => running.delete(work));
  };
  const listen = (): Deno.TcpListener => {
    const opened = Deno.listen({ hostname: "127.0.0.1", port });
    track((async () => {
      for await (const client of opened) track(join(client));
    })());
    return opened;
  };

  // It is closed by a cut, and returns.
  const port = freePort();
  listener = listen();
  const cut = async (): Promise<void> => {
    listener?.close();
    listener = undefined;
    holding = false;
    for (const pair of [...pairs]) end(pair);
    while (running.size > 0) await Promise.all(running);
  };
  return {
    port,
    cut,
    restore: () => {
      listener ??= listen();
    },
    holdAnswers: () => {
      holding = true;
    },
    slow: (delay_ms, bytes_per_second) => {
      Object.assign(slow, { delay_ms, bytes_per_second });
    },
    [Symbol.asyncDispose]: cut,
  };
}
