/**
 * The files of `deploy` on real processes of this machine: only addresses, paths and the form of the log differ. For
 * tests that run what we ship.
 */
import assert from "node:assert/strict";
import { insist } from "../shared/testing/until.ts";
import { ROOT } from "../tasks/checkout/source_files.ts";
import { type ServerProcess, startServer } from "./harness/cluster.ts";
import { freePorts } from "./harness/free_ports.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";

/** Texts in a file, and their replacements on this machine. */
export type Changes = readonly (readonly [string, string])[];

/** Ports are found free and used later: another process may be faster. */
const ATTEMPTS = 3;
/** Time for a cluster to become ready; reached only if it never does. */
const CLUSTER_MS = 60_000;
/** The tests' certificate, key and authority. */
export const TLS_FOLDER = new URL("tls/", import.meta.url).pathname;

/** The text with each `from`, which must occur, replaced by its `to`; `name` is for the error. */
export function changed(name: string, text: string, changes: Changes): string {
  return changes.reduce((now, [from, to]) => {
    assert.ok(now.includes(from), `${name} has no ${from}`);
    return now.replaceAll(from, () => to);
  }, text);
}

/** A file of `deploy` with the deployment's addresses replaced by those of this machine. */
export function moved(path: string, changes: Changes): string {
  return changed(path, Deno.readTextFileSync(`${ROOT}deploy/${path}`), changes);
}

/** The lines of a table of TOML, without its name. */
function tableIn(text: string, name: string): string {
  return new RegExp(`^\\[${name}\\]\\n((?:(?!\\[).*\\n?)*)`, "m").exec(text)?.[1] ?? "";
}

/** A Shield or Brain with such a file. `startServer` writes host and port of its listeners itself. */
export async function startFrom(
  part: "shield" | "brain",
  text: string,
  dir: string,
): Promise<ServerProcess> {
  const rest = ["server", "ops", "admin"].reduce(
    (now, name) => now.replace(`[${name}]\n${tableIn(text, name)}`, ""),
    text,
  );
  const admin = tableIn(text, "admin").split("\n").filter((line) => !/^(host|port) =/.test(line));
  const admin_lines = admin.join("\n");
  return await startServer(part, rest, dir, tableIn(text, "server"), { admin_lines });
}

/** Repeats `startFrom` until the cluster has a leader, as Kubernetes would. */
export function startAgain(
  part: "shield" | "brain",
  text: string,
  dir: string,
): Promise<ServerProcess> {
  return insist(`the ${part} starts`, () => startFrom(part, text, dir), () => true, CLUSTER_MS);
}

/** Passwords of the Secret, in the form of NATS' configuration. */
const PASSWORDS = {
  shield: "shield's own",
  brain: "12 'brain",
  backup: "backup's",
  restore: "restore's",
  standby: "standby's",
  backend: "backend's",
};
/** A user of `nats_accounts.conf`. */
export type NatsUser = keyof typeof PASSWORDS;
const PASSWORD_LINES = Object.entries(PASSWORDS).map(([user, password]) =>
  `${user.toUpperCase()}_PASSWORD: ${JSON.stringify(password)}\n`
).join("");

/** The files that Secrets mount beside a process, its own password and the authority of NATS; returns the folder. */
export async function mountNats(dir: string, user: NatsUser): Promise<string> {
  const folder = `${dir}/nats-${user}`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/password`, `${PASSWORDS[user]}\n`);
  await Deno.copyFile(`${TLS_FOLDER}ca.pem`, `${folder}/ca.crt`);
  return folder;
}

/** One of the servers of `nats.yaml`. */
export interface NatsPod {
  readonly server: NatsServer;
  /** Its configuration, without the test's additions. */
  readonly config: string;
}

/** A test's additions to the configuration of `nats.conf`. */
export interface NatsMore {
  readonly changes?: Changes;
  readonly lines?: string;
}

/** The three servers of `nats.yaml` with its configuration; their data is in folders of `dir`. */
export async function startNatsPods(
  dir: string,
  moreOf: (at: number) => NatsMore = () => ({}),
): Promise<NatsPod[]> {
  const include = ['include "nats_passwords.conf"', PASSWORD_LINES] as const;
  const accounts = moved("kubernetes/nats_accounts.conf", [include]);
  for (let attempt = 1;; attempt++) {
    const ports = freePorts(3);
    const store = await Deno.makeTempDir({ dir, prefix: "nats-" });
    const peers = ports.map((port, at) =>
      [`nats-${at}.nats-peers:6222`, `127.0.0.1:${port}`] as const
    );
    const started = await Promise.allSettled(ports.map(async (port, at): Promise<NatsPod> => {
      const { changes = [], lines = "" } = moreOf(at);
      const config = moved("kubernetes/nats.conf", [
        ["$POD_NAME", `nats-${at}`],
        ['listen: "0.0.0.0:4222"\n', ""],
        ["0.0.0.0:8222", "127.0.0.1:-1"],
        ["0.0.0.0:6222", `127.0.0.1:${port}`],
        ['include "nats_accounts.conf"', accounts],
        ["/etc/nats-tls/tls.crt", `${TLS_FOLDER}server.pem`],
        ["/etc/nats-tls/tls.key", `${TLS_FOLDER}server_key.pem`],
        ["/etc/nats-tls/ca.crt", `${TLS_FOLDER}ca.pem`],
        ["/var/run/nats/nats.pid", `${store}/${at}.pid`],
        ['"/data"', `"${store}/js-${at}"`],
        ...peers,
        ...changes,
      ]);
      return { server: await startNats({ config: `${config}\n${lines}` }), config };
    }));
    const pods = started.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    if (pods.length === ports.length) return pods;
    await Promise.all(pods.map(({ server }) => server[Symbol.asyncDispose]()));
    const failed = started.find((one) => one.status === "rejected");
    if (attempt === ATTEMPTS) throw failed?.reason;
  }
}
