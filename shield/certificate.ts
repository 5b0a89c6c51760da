/** Keeps the client listener on the certificate that its files hold. Reads no file and opens no port. */
import type { Listener } from "../shared/listeners/listen.ts";
import type { Env } from "../shared/env.ts";
import { followTls } from "../shared/listeners/tls_reload.ts";
import type { TlsPair } from "../shared/http1/door.ts";

/** What serves clients, as far as another certificate concerns it. */
export interface Serving extends Pick<Env, "registry" | "log" | "now"> {
  /** What the files hold now; may throw. */
  readonly read: () => TlsPair | undefined;
  readonly client: Listener;
  /** The port could not be opened again. */
  readonly onLost: (detail: string) => void;
}

/** Looks at the files of the certificate until it is disposed of. */
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
