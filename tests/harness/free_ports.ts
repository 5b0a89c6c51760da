/**
 * Ports of this machine that nobody listens on, for programs that must be told theirs. Who can say 0
 * and read what was picked does that instead: between here and the program's start another may take it.
 */

/** As many, all different: they are held together, then let go. */
export function freePorts(count: number): number[] {
  const listeners = Array.from(
    { length: count },
    () => Deno.listen({ hostname: "127.0.0.1", port: 0 }),
  );
  const ports = listeners.map(({ addr }) => addr.port);
  for (const listener of listeners) listener.close();
  return ports;
}

/** One. */
export function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
