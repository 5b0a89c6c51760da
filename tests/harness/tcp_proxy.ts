/**
 * A TCP proxy between a client and a real server, to break a connection in ways that a server cannot: cut it while the
 * server lives on, pass requests and hold the answers, or pause one direction, as for a client that is too busy.
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
  /** Pauses what the server sends until `resume`, and loses nothing. */
  pause(): void;
  /** The same of what the clients of the present connections send. */
  pausePresent(): void;
  resume(): void;
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

/** How bytes are forwarded. */
interface Way {
  /** They are discarded. */
  readonly isHolding: () => boolean;
  /** Resolves when they may pass; undefined: at once. */
  readonly pause: () => Promise<void> | undefined;
  readonly slow: Pace;
  readonly alter: ((bytes: Uint8Array) => void) | undefined;
}

/**
 * Forwards bytes until a side ends. Both numbers of the pace become one wait after each read, so that a burst is late
 * as a whole.
 */
async function pump(from: Deno.TcpConn, to: Deno.TcpConn, way: Way): Promise<void> {
  const { isHolding, pause, slow, alter } = way;
  const buffer = new Uint8Array(65_536);
  try {
    for (;;) {
      await pause();
      const size = await from.read(buffer);
      if (size === null) return;
      // What was being read when the pause began waits, too.
      await pause();
      if (isHolding()) continue;
      alter?.(buffer.subarray(0, size));
      const wait_ms = slow.delay_ms + size / slow.bytes_per_second * 1_000;
      if (wait_ms > 0) await pace(wait_ms);
      for (let at = 0; at < size;) at += await to.write(buffer.subarray(at, size));
    }
  } catch {
    // A side that has closed ends the pair, whatever it sent last.
  }
}

/** The connections of a proxy, until they end. */
class Pairs {
  is_holding = false;
  readonly slow: Pace = { delay_ms: 0, bytes_per_second: Infinity };
  readonly #alter: ((bytes: Uint8Array) => void) | undefined;
  readonly #pairs = new Set<Pair>();
  #is_paused = false;
  /** Clients whose requests are paused. */
  readonly #held = new Set<Deno.TcpConn>();
  #resumed = Promise.withResolvers<void>();

  constructor(alter: ((bytes: Uint8Array) => void) | undefined) {
    this.#alter = alter;
  }

  /** Forwards both directions; resolves at the end of the pair. */
  async run(pair: Pair): Promise<void> {
    const { client, server } = pair;
    this.#pairs.add(pair);
    const requests = pump(client, server, {
      isHolding: () => false,
      pause: () => this.#held.has(client) ? this.#resumed.promise : undefined,
      slow: this.slow,
      alter: undefined,
    });
    const answers = pump(server, client, {
      isHolding: () => this.is_holding,
      pause: () => this.#is_paused ? this.#resumed.promise : undefined,
      slow: this.slow,
      alter: this.#alter,
    });
    // The client may have closed, and what it has sent is still to be passed on.
    const answered = answers.then(() => this.#held.has(client) ? requests : undefined);
    await Promise.race([requests, answered]);
    this.#end(pair);
  }

  pause(): void {
    this.#is_paused = true;
  }

  pausePresent(): void {
    for (const { client } of this.#pairs) this.#held.add(client);
  }

  resume(): void {
    this.#is_paused = false;
    this.#held.clear();
    this.#resumed.resolve();
    this.#resumed = Promise.withResolvers();
  }

  end(): void {
    for (const pair of [...this.#pairs]) this.#end(pair);
    this.resume();
  }

  #end(pair: Pair): void {
    this.#pairs.delete(pair);
    closeQuietly(pair.client);
    closeQuietly(pair.server);
  }
}

/**
 * Starts a proxy on a free port of the loopback interface, to `target_port` there. A function is called for each
 * connection, as a load balancer would choose; undefined: there is no target. `alterAnswers` may change the bytes of
 * answers in place.
 */
export function startTcpProxy(
  target_port: number | (() => number | undefined),
  alterAnswers?: (bytes: Uint8Array) => void,
): TcpProxy {
  const choose = typeof target_port === "function" ? target_port : () => target_port;
  let listener: Deno.TcpListener | undefined;
  const pairs = new Pairs(alterAnswers);
  const running = new Set<Promise<void>>();

  const join = async (client: Deno.TcpConn): Promise<void> => {
    const port = choose();
    const at = { hostname: "127.0.0.1", port: port ?? 0 };
    const server = port === undefined ? undefined : await Deno.connect(at).catch(() => undefined);
    // The target is down, and so is the proxy for the client.
    if (server === undefined) return closeQuietly(client);
    const ran = pairs.run({ client, server });
    if (listener === undefined) pairs.end();
    await ran;
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
    pairs.is_holding = false;
    pairs.end();
    while (running.size > 0) await Promise.all(running);
  };
  return {
    port,
    cut,
    restore: () => {
      listener ??= listen();
    },
    holdAnswers: () => {
      pairs.is_holding = true;
    },
    pause: () => pairs.pause(),
    pausePresent: () => pairs.pausePresent(),
    resume: () => pairs.resume(),
    slow: (delay_ms, bytes_per_second) => {
      Object.assign(pairs.slow, { delay_ms, bytes_per_second });
    },
    [Symbol.asyncDispose]: cut,
  };
}

/** A proxy of a bus, and the bus's address behind it. */
export function proxied({ url }: { readonly url: string }) {
  const proxy = startTcpProxy(Number(new URL(url).port));
  return { proxy, url: url.replace(/:\d+\//, `:${proxy.port}/`) };
}
