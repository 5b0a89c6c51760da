/**
 * Ports of this machine on which nobody listens, for programs that need a fixed port, or that return on the same one.
 * Programs that can listen on 0 and report the port do that instead: before the program's start another process may
 * take a free port.
 */

/**
 * Below the ports from which Linux (32768) and macOS (49152) choose those of outgoing connections and of listeners on
 * 0: while a program is down, no connection of another test uses its port.
 */
const FROM = 10_240;
const BELOW = 32_768;
const ATTEMPTS = 1_000;

/** `count` different ports: they are held together, then released. */
export function freePorts(count: number): number[] {
  const listeners: Deno.Listener[] = [];
  try {
    for (let attempt = 0; listeners.length < count; attempt++) {
      const port = FROM + Math.floor(Math.random() * (BELOW - FROM));
      try {
        listeners.push(Deno.listen({ hostname: "127.0.0.1", port }));
      } catch (error) {
        if (!(error instanceof Deno.errors.AddrInUse) || attempt === ATTEMPTS) throw error;
      }
    }
    return listeners.map(({ addr }) => (addr as Deno.NetAddr).port);
  } finally {
    for (const listener of listeners) listener.close();
  }
}

/** One port. */
export function freePort(): number {
  return freePorts(1)[0] as number;
}
