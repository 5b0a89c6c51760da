/** Shields and Brains as processes, as an operator of alerts has them. */
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import type { Stage } from "./play.ts";

/** The stage of processes; `add` starts one more. */
export interface ServerStage extends Stage {
  readonly issuer: Issuer;
  readonly words: Record<string, string>;
  /** The process that it was started with. */
  readonly first: ServerProcess;
  /** Starts a process, which ends with the stage, and whose log is read from now on. */
  add(...args: ServerArguments): Promise<ServerProcess>;
}

/** What `startServer` takes behind the folder. */
interface More {
  readonly lines?: string;
  readonly ops_lines?: string;
  readonly env?: Readonly<Record<string, string>>;
}
type ServerArguments = [part: "shield" | "brain", config: string, more?: More];

/** A stage whose first process is a Shield with this configuration; operators talk to it. */
export async function startServerStage(
  config: (issuer: Issuer) => string,
  more: More = {},
  part: "shield" | "brain" = "shield",
): Promise<ServerStage> {
  const stack = new AsyncDisposableStack();
  const issuer = stack.use(await createIssuer());
  const started: ServerProcess[] = [];
  const add = async (...[part, config, more = {}]: ServerArguments) => {
    const server = await startServer(part, config, issuer.dir, more.lines, more);
    stack.use(server);
    started.push(server);
    return server;
  };
  try {
    const text = config(issuer);
    const first = await add(part, text, more);
    const { ready } = first;
    return {
      issuer,
      first,
      config: `[admin]\noperator_tenants = ["*"]\n${text}`,
      add,
      pages: { [`arqon-${part}`]: ready.ops_url! },
      url: ready.url ?? "",
      admin_url: ready.admin_url!,
      ops_url: ready.ops_url!,
      token: await issuer.tokenFor({ role: "admin", sub: "root" }),
      log: () => started.map((server) => server.log()).join("\n"),
      words: { TENANT: "acme" },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** The socket of a Shield's clients. */
export const socketUrl = (url: string) => `${url.replace(/^http/, "ws")}/v1/socket`;
