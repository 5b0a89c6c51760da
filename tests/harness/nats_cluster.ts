/**
 * Starts three real `nats-server`s with JetStream as one cluster for a test. Each can be killed, frozen and restarted
 * on its own; all are stopped and removed with `await using`.
 */
import { connect, type NatsConnection } from "@nats-io/transport-deno";
import { atEnd } from "../../shared/testing/at_end.ts";
import { insist } from "../../shared/testing/until.ts";
import { type NatsServer, startNats } from "./nats_server.ts";
import { freePorts } from "./free_ports.ts";

const SIZE = 3;
/** Time for the servers to find each other; reached only if they never do. */
/** The ports for routes are found free and used later: another process may be faster. */
const ATTEMPTS = 3;

/** One server of the cluster. */
export interface ClusterMember extends NatsServer {
  /** `n1` to `n3`, as JetStream calls it. */
  readonly name: string;
}

/** Three servers, and queries about them together. */
export interface NatsCluster extends AsyncDisposable {
  readonly members: readonly ClusterMember[];
  readonly urls: readonly string[];
  /** Resolves when a stream with three replicas can be created; rejects after a minute. */
  ready(): Promise<void>;
  /** The present leader of a stream. Rejects when there is none for a minute. */
  leaderOf(stream: string): Promise<ClusterMember>;
}

/** The options of a cluster. */
export interface ClusterOptions {
  /** Clients do not learn the addresses of the other servers: a client of a proxy keeps to it. */
  readonly silent?: boolean;
  /** As in `NatsOptions`, for each server. */
  readonly max_file?: string;
}

function configOf(
  name: string,
  port: number,
  ports: readonly number[],
  more: string,
  silent: boolean,
): string {
  const routes = ports.filter((other) => other !== port).map((other) =>
    `"nats://127.0.0.1:${other}"`
  );
  return [
    `server_name: ${name}`,
    `cluster { name: test, listen: "127.0.0.1:${port}", routes: [${routes.join(", ")}]`,
    `no_advertise: ${silent} }`,
    more,
  ].join("\n");
}

async function startMembers(
  more: string,
  { silent = false, max_file }: ClusterOptions,
): Promise<ClusterMember[]> {
  const size = max_file === undefined ? {} : { max_file };
  for (let attempt = 1;; attempt++) {
    const ports = freePorts(SIZE);
    const started = await Promise.allSettled(ports.map(async (port, index) => {
      const name = `n${index + 1}`;
      const config = configOf(name, port, ports, more, silent);
      return Object.assign(await startNats({ jetstream: true, config, ...size }), { name });
    }));
    const members = started.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    if (members.length === SIZE) return members;
    await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
    const failed = started.find((one) => one.status === "rejected");
    if (attempt === ATTEMPTS) throw failed?.reason;
  }
}

/** Calls the API until `ask` does not reject, with a new connection to any running server. */
async function poll<T>(
  urls: readonly string[],
  ask: (request: (verb: string, question: unknown) => Promise<Answer>) => Promise<T>,
  what: string,
): Promise<T> {
  const servers = urls.map((url) => url.replace("nats://", ""));
  let connection: NatsConnection | undefined;
  await using _end = atEnd(() => connection?.close());
  return await insist(what, async () => {
    const asking = connection ??= await connect({ servers, timeout: 1_000 });
    return await ask(async (verb, question) => {
      const text = JSON.stringify(question);
      return (await asking.request(`$JS.API.${verb}`, text, { timeout: 1_000 })).json();
    });
  });
}

/** The parts of JetStream's answers that are used. */
interface Answer {
  readonly error?: { readonly description: string };
  readonly cluster?: { readonly leader?: string };
}

/** `more` are additional lines for the configuration of each server. */
export async function startNatsCluster(
  more = "",
  options: ClusterOptions = {},
): Promise<NatsCluster> {
  const members = await startMembers(more, options);
  const urls = members.map(({ url }) => url);
  const cluster: NatsCluster = {
    members,
    urls,
    ready: async () => {
      const name = "READY";
      await poll(urls, async (request) => {
        const { error } = await request(`STREAM.CREATE.${name}`, {
          name,
          subjects: ["ready.test"],
          num_replicas: SIZE,
        });
        if (error !== undefined) throw new Error(error.description);
        await request(`STREAM.DELETE.${name}`, {});
      }, "the cluster");
    },
    leaderOf: (stream) =>
      poll(urls, async (request) => {
        const { cluster } = await request(`STREAM.INFO.${stream}`, {});
        const leader = members.find(({ name }) => name === cluster?.leader);
        if (leader === undefined) throw new Error("nobody leads it");
        return leader;
      }, `a leader of ${stream}`),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(members.map((member) => member[Symbol.asyncDispose]()));
    },
  };
  try {
    await cluster.ready();
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return cluster;
}
