/**
 * The server of `y-websocket` as its users run it: the npm package `@y/websocket-server` under Node, installed
 * below `.arqon/cache`. It keeps documents in memory.
 */
import { freePort } from "../../tests/harness/free_ports.ts";
import { TargetUnavailable } from "../load/targets/target.ts";
import { installed, lastLine, run } from "./installed.ts";
import { startServer } from "./server_process.ts";
import type { ServerProcess } from "./server_process.ts";

/** The newest that is made for version 13 of Yjs, which this repository has. */
const VERSION = "0.1.1";
const PACKAGES = [`@y/websocket-server@${VERSION}`, "yjs@13.6.33"];
const HINT = "y-websocket needs Node 18 or newer with npm (Debian: apt-get install nodejs npm)";

async function install(folder: string): Promise<string> {
  const flags = ["--no-audit", "--no-fund", "--ignore-scripts"];
  const ran = await run("npm", ["install", `--prefix=${folder}`, ...flags, ...PACKAGES]);
  if (ran === undefined) throw new TargetUnavailable(HINT);
  if (!ran.ok) {
    throw new TargetUnavailable(`npm install failed (${lastLine(ran.text)}): ${HINT}`);
  }
  return folder;
}

/** A running server; `ready` is its address. Rejects with `TargetUnavailable` where it cannot be installed. */
export async function startYWebsocket(): Promise<ServerProcess<string>> {
  if (await run("node", ["--version"]) === undefined) throw new TargetUnavailable(HINT);
  const folder = await installed(`y-websocket-server-${VERSION}`, install);
  const port = freePort();
  return await startServer({
    program: "env",
    args: [
      "HOST=127.0.0.1",
      `PORT=${port}`,
      "node",
      `${folder}/node_modules/@y/websocket-server/src/server.js`,
    ],
    ready: (line) => line.startsWith("running at") ? `ws://127.0.0.1:${port}` : undefined,
  });
}
