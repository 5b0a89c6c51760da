/**
 * Ports of this machine that nobody listens on, for programs that must be told theirs, or that come back
 * on the one they had. Who can say 0 and read what was picked does that instead: between here and the
 * program's start another may take it.
 */

/**
 * Below the ports from which Linux (32768) and macOS (49152) take those of outgoing connections and of
 * who listens on 0: while a program is down, no connection of another test sits on its port.
 */
const FROM = 10_240;
const BELOW = 32_768;
const ATTEMPTS = 1_000;

/** As many, all different: they are held together, then let go. */
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

/** One. */
export function freePort(): number {
  return freePorts(1)[0] as number;
}
