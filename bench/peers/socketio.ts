/**
 * Socket.IO in its usual setup: the npm package on Node, installed below `.arqon/cache`. socketio_server.mjs is the
 * server.
 */
import { ROOT } from "../measure/scenario.ts";
import { type Target, TargetUnavailable } from "../load/targets/target.ts";
import { PLAIN_ABILITIES, TLS_FILES } from "../load/targets/target_bare.ts";
import { run } from "../../tasks/checkout/programs.ts";
import { installedFromNpm } from "./installed.ts";
import { readyLine, startPeer } from "./server_process.ts";

const VERSION = "4.8.4";
const HINT = "Socket.IO needs Node 18 or newer (Debian: apt-get install nodejs)";

/** The target Socket.IO. */
export const SOCKETIO: Target = {
  id: "socketio",
  title: "Socket.IO (Node)",
  abilities: PLAIN_ABILITIES,
  async start({ tls }) {
    if (await run("node", ["--version"]) === undefined) throw new TargetUnavailable(HINT);
    const packages = await installedFromNpm(`socket.io@${VERSION}`, `socketio-${VERSION}`);
    const files = tls ? { cert_file: TLS_FILES.cert, key_file: TLS_FILES.key } : {};
    const server = `${ROOT}/bench/peers/socketio_server.mjs`;
    const args = [server, JSON.stringify({ packages, ...files })];
    return await startPeer(
      "socketio",
      tls,
      () => ({ program: "node", args, ready: readyLine }),
      ({ port, version }) => {
        const address = `${tls ? "wss" : "ws"}://127.0.0.1:${port}`;
        return { version, url: `${address}/socket.io/?EIO=4&transport=websocket` };
      },
    );
  },
};
