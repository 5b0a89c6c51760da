/** Keeps the client listener's certificate equal to its files. It reads no file and opens no port itself. */
import type { Listener } from "../shared/listeners/listen.ts";
import type { Env } from "../shared/env.ts";
import { followTls } from "../shared/listeners/tls_reload.ts";
import type { TlsPair } from "../shared/http1/door.ts";

/** The parts of the client listener that a change of the certificate needs. */
export interface Serving extends Pick<Env, "registry" | "log" | "now"> {
  /** Reads the files; may throw. */
  readonly read: () => TlsPair | undefined;
  readonly client: Listener;
  /** Called if the port could not be opened again. */
  readonly onLost: (detail: string) => void;
}

/** Polls the files of the certificate until it is disposed. */
export function followCertificate(served: TlsPair, serving: Serving): Disposable {
  const { read, client, registry, log, now, onLost } = serving;
  return followTls({
    served,
    read,
    async renew(pair) {
      await client.renew(pair).catch((error) => {
        onLost(error instanceof Error ? error.message : String(error));
        throw error;
      });
    },
    registry,
    log,
    now,
  });
}
