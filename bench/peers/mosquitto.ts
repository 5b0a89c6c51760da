/**
 * Eclipse Mosquitto from the distribution's package, with one WebSocket listener: anonymous clients, nothing
 * persisted. By default it drops QoS 0 messages for a client when 1,000 wait; that limit is off, since no
 * other target drops silently.
 */
import { type Target, TargetUnavailable } from "../load/targets/target.ts";
import { PLAIN_ABILITIES, TLS_FILES } from "../load/targets/target_bare.ts";
import { lastLine, run } from "./installed.ts";
import { freePort } from "../../tests/harness/free_ports.ts";
import { startPeer } from "./server_process.ts";

const HINT = "put mosquitto with WebSockets on the PATH (Debian: apt-get install mosquitto)";

/** Finds the program; distributions keep servers in folders that only root's PATH has. */
async function find(): Promise<string | undefined> {
  for (const program of ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"]) {
    if (await run(program, ["-h"]) !== undefined) return program;
  }
  return undefined;
}

async function install(): Promise<void> {
  const who = await run("id", ["-u"]);
  if (who?.text !== "0") throw new TargetUnavailable(`no Mosquitto, and no root: ${HINT}`);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  for (
    const args of [["update"], ["install", "-y", "--no-install-recommends", "mosquitto"]]
  ) {
    const ran = await run("apt-get", args, env);
    if (ran === undefined) throw new TargetUnavailable(`no Mosquitto, and no apt-get: ${HINT}`);
    if (!ran.ok) {
      throw new TargetUnavailable(`apt-get ${args[0]} failed (${lastLine(ran.text)}): ${HINT}`);
    }
  }
}

async function ensureMosquitto(): Promise<string> {
  const program = await find();
  if (program !== undefined) return program;
  await install();
  const now = await find();
  if (now === undefined) throw new TargetUnavailable(`apt-get installed no mosquitto: ${HINT}`);
  return now;
}

function configText(folder: string, port: number, tls: boolean, user: string): string {
  return [
    // With only WebSocket listeners, 2.0.11 takes itself to have none and ends.
    `listener 0 ${folder}/mqtt.sock`,
    `listener ${port} 127.0.0.1`,
    "protocol websockets",
    ...(tls ? [`certfile ${TLS_FILES.cert}`, `keyfile ${TLS_FILES.key}`] : []),
    "allow_anonymous true",
    "persistence false",
    "max_connections -1",
    "max_queued_messages 0",
    "set_tcp_nodelay true",
    "log_dest stderr",
    "log_type error",
    "log_type warning",
    "log_type information",
    "connection_messages false",
    // Started by root, it would become a user who may not read the checkout.
    `user ${user}`,
    "",
  ].join("\n");
}

/** The target Mosquitto, over WebSocket. */
export const MOSQUITTO: Target = {
  id: "mosquitto",
  title: "Mosquitto",
  abilities: PLAIN_ABILITIES,
  async start({ tls }) {
    const program = await ensureMosquitto();
    const port = freePort();
    const user = (await run("id", ["-un"]))?.text ?? "root";
    return await startPeer("mqtt", tls, async (folder) => {
      const text = configText(folder.path, port, tls, user);
      const config = await folder.write("mosquitto.conf", text);
      const ready = (line: string) => line.match(/mosquitto version (\S+) running/)?.[1];
      return { program, args: ["-c", config], ready };
    }, (version) => {
      const url = `${tls ? "wss" : "ws"}://127.0.0.1:${port}/mqtt`;
      return { version: `mosquitto ${version}`, url };
    });
  },
};
