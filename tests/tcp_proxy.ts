/**
 * A TCP proxy between a client and a real server, to break a connection in ways that a server cannot
 * be asked for: cut it while the server lives on, or let requests through and hold the answers.
 */

export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** Ends every connection and refuses new ones. */
  cut(): Promise<void>;
  /** Listens again, on the same port. */
  restore(): void;
  /** From now on answers stay here; a `cut` loses them. */
  holdAnswers(): void;
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

/** Passes bytes on until a side ends; while `isHolding` says so they are thrown away. */
async function pump(
  from: Deno.TcpConn,
  to: Deno.TcpConn,
  isHolding: () => boolean,
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (;;) {
      const size = await from.read(buffer);
      if (size === null) return;
      if (isHolding()) continue;
      for (let at = 0; at < size;) at += await to.write(buffer.subarray(at, size));
    }
  } catch {
    // A side that is gone ends the pair, whatever its last words were.
  }
}

/**
 * Starts a proxy on a free port of the loopback interface, to `target_port` there. A function is
 * asked for each connection, as a load balancer would choose; undefined: there is nobody to choose.
 */
export function startTcpProxy(target_port: number | (() => number | undefined)): TcpProxy {
  const choose = typeof target_port === "function" ? target_port : () => target_port;
  let listener: Deno.TcpListener | undefined;
  let holding = false;
  const pairs = new Set<Pair>();
  const running = new Set<Promise<void>>();

  const join = async (client: Deno.TcpConn): Promise<void> => {
    let server: Deno.TcpConn;
    const port = choose();
    if (port === undefined) return closeQuietly(client);
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port });
    } catch {
      return closeQuietly(client); // The target is down, and so is this for the client.
    }
    const pair = { client, server };
    pairs.add(pair);
    if (listener === undefined) end(pair);
    const answers = pump(server, client, () => holding);
    await Promise.race([pump(client, server, () => false), answers]);
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
  const listen = (port: number): Deno.TcpListener => {
    const opened = Deno.listen({ hostname: "127.0.0.1", port });
    track((async () => {
      for await (const client of opened) track(join(client));
    })());
    return opened;
  };

  listener = listen(0);
  const port = listener.addr.port;
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
      listener ??= listen(port);
    },
    holdAnswers: () => {
      holding = true;
    },
    [Symbol.asyncDispose]: cut,
  };
}
