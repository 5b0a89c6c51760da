/** Loads the HTTP transport for a connection that needs it. This file is in every bundle. */
import { ArqonError } from "@arqon/proto";
import type { ConnectOptions } from "../options/options.ts";
import { onAbort } from "../time/clock.ts";
import { textOf } from "../wire/wire_error.ts";

/**
 * The options with the socket class of their `transport`. Rejects with `unreachable` if the code cannot be loaded, and
 * with the reason of an aborted signal. Throws TypeError.
 */
export async function loadWay(options: ConnectOptions): Promise<ConnectOptions> {
  const { transport = "websocket", signal } = options;
  if (transport === "websocket") return options;
  const aborted = Promise.withResolvers<never>();
  const stop = onAbort(signal, () => aborted.reject(signal?.reason));
  try {
    signal?.throwIfAborted();
    const loading = import("./fallback_socket.ts").catch((cause) => {
      throw new ArqonError("unreachable", textOf(cause), { cause });
    });
    return (await Promise.race([loading, aborted.promise])).over(options);
  } finally {
    stop();
  }
}
