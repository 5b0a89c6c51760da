/**
 * Peers that are npm packages below `.arqon/cache`, each with a server of our own: Bun, whose WebSocket server is
 * uWebSockets in C++ (the upper limit for this kind of program, and the reference of the tables), and Socket.IO in its
 * usual setup on Node.
 */
import { ROOT } from "../measure/scenario.ts";
import { type RunningTarget, type Target, TargetUnavailable } from "../load/targets/target.ts";
import { PLAIN_ABILITIES, TLS_FILES } from "../load/targets/target_bare.ts";
import { installed, lastLine, run } from "../../tasks/checkout/programs.ts";
import { startPeer } from "./server_process.ts";

const BUN_VERSION = "1.4.5";
const SOCKETIO_VERSION = "4.8.4";
/** The processors for which Bun has a package, by Deno's names. */
const PROCESSORS = { x86_64: "x64", aarch64: "aarch64" } as const;
const HINT = "it needs Node 18 or newer with npm (Debian: apt-get install nodejs npm)";

/** The path `.arqon/cache/NAME` with an npm package, which the first call installs. */
function installedFromNpm(pinned: string, name: string): Promise<string> {
  return installed(name, async (folder) => {
    const options = [`--prefix=${folder}`, "--no-audit", "--no-fund", "--ignore-scripts"];
    const ran = await run("npm", ["install", ...options, pinned]);
    if (ran === undefined) throw new TargetUnavailable(`npm is not there: ${HINT}`);
    if (ran.ok) return folder;
    throw new TargetUnavailable(`npm install ${pinned} failed (${lastLine(ran.text)}): ${HINT}`);
  });
}

/** The line of a server that is ready: JSON with its port and version. */
function readyLine(log: string): { port: number; version: string } | undefined {
  const line = /^\{.*\}$/m.exec(log)?.[0];
  return line === undefined ? undefined : JSON.parse(line);
}

/** Runs one of our servers; `path` is that of its WebSocket. */
function startScript(
  protocol: "raw" | "socketio",
  tls: boolean,
  { program, script, packages, path }: Readonly<
    Record<"program" | "script" | "packages" | "path", string>
  >,
): Promise<RunningTarget> {
  const files = tls ? { cert_file: TLS_FILES.cert, key_file: TLS_FILES.key } : {};
  const args = [`${ROOT}/bench/peers/${script}`, JSON.stringify({ packages, ...files })];
  return startPeer(
    protocol,
    tls,
    () => ({ program, args, ready: readyLine }),
    ({ port, version }) => ({ version, url: `${tls ? "wss" : "ws"}://127.0.0.1:${port}${path}` }),
  );
}

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
    const packages = await installedFromNpm(`${name}@${BUN_VERSION}`, `bun-${BUN_VERSION}`);
    const program = `${packages}/node_modules/${name}/bin/bun`;
    return await startScript("raw", tls, { program, script: "bun_server.mjs", packages, path: "" });
  },
};

/** The target Socket.IO. */
export const SOCKETIO: Target = {
  id: "socketio",
  title: "Socket.IO (Node)",
  abilities: PLAIN_ABILITIES,
  async start({ tls }) {
    if (await run("node", ["--version"]) === undefined) throw new TargetUnavailable(HINT);
    const name = `socketio-${SOCKETIO_VERSION}`;
    const packages = await installedFromNpm(`socket.io@${SOCKETIO_VERSION}`, name);
    const path = "/socket.io/?EIO=4&transport=websocket";
    const script = "socketio_server.mjs";
    return await startScript("socketio", tls, { program: "node", script, packages, path });
  },
};
