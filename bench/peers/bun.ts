/**
 * Bun's own WebSocket server, which is uWebSockets in C++: the upper limit for this kind of program, and the reference
 * of the tables. It is the npm package below `.arqon/cache`; bun_server.mjs is the server.
 */
import { ROOT } from "../measure/scenario.ts";
import { type Target, TargetUnavailable } from "../load/targets/target.ts";
import { PLAIN_ABILITIES, TLS_FILES } from "../load/targets/target_bare.ts";
import { installedFromNpm } from "./installed.ts";
import { readyLine, startPeer } from "./server_process.ts";

const VERSION = "1.4.5";
/** The processors for which Bun has a package, by Deno's names. */
const PROCESSORS = { x86_64: "x64", aarch64: "aarch64" } as const;

/** The target Bun. */
export const BUN: Target = {
  id: "bun",
  title: "Bun",
  abilities: PLAIN_ABILITIES,
  async start({ tls }) {
    const { os, arch } = Deno.build;
    if (os !== "linux" && os !== "darwin") {
      throw new TargetUnavailable(`Bun's npm packages are for linux and darwin here, not ${os}`);
    }
    const name = `@oven/bun-${os}-${PROCESSORS[arch]}`;
    const packages = await installedFromNpm(`${name}@${VERSION}`, `bun-${VERSION}`);
    const files = tls ? { cert_file: TLS_FILES.cert, key_file: TLS_FILES.key } : {};
    const args = [`${ROOT}/bench/peers/bun_server.mjs`, JSON.stringify(files)];
    return await startPeer(
      "raw",
      tls,
      () => ({ program: `${packages}/node_modules/${name}/bin/bun`, args, ready: readyLine }),
      ({ port, version }) => ({ version, url: `${tls ? "wss" : "ws"}://127.0.0.1:${port}` }),
    );
  },
};
