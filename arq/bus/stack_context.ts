/**
 * The context of a compose stack, which `arq dev up` adds and `arq dev down` removes. It applies in the folder where
 * the stack was started, so every command there uses the stack with its key.
 */
import { failed, printable } from "../terminal/exit.ts";
import {
  checkedContext,
  readContexts,
  tellNoContext,
  withContext,
  writeContexts,
} from "./contexts.ts";
import type { Context, Contexts } from "./contexts.ts";
import { exchange } from "./admin.ts";
import { contextToken } from "./target.ts";
import { answers, DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT } from "./dev_bus.ts";
import { type Io, print } from "../terminal/io.ts";
import type { StackPorts } from "../serve/stack.ts";

/** A compose stack that was started. Paths are absolute. */
interface StartedStack {
  readonly folder: string;
  readonly file: string;
  readonly ports: StackPorts;
  /** File of the private key; the Shield has its public part. */
  readonly key: string;
}

const NAME = "compose";
const REQUEST_MS = 5_000;

const isOf = (folder: string) => (one: Context) =>
  one.compose !== undefined && one.folder === folder;

/** The name `compose`, or `compose` with the first number that is free. */
function freeName({ contexts }: Contexts): string {
  const taken = new Set(contexts.map(({ name }) => name));
  let name = NAME;
  for (let n = 2; taken.has(name); n++) name = `${NAME}-${n}`;
  return name;
}

/** Why the bus rejects a token signed with this key; undefined when it accepts it or does not answer. */
async function refusalOf(io: Io, context: Context): Promise<string | undefined> {
  try {
    const token = await contextToken(io, context, "admin");
    const request = { method: "GET", path: "/v1/status" } as const;
    const listener = { admin_url: context.admin_url ?? "", token };
    const { response, text } = await exchange(io, listener, request, REQUEST_MS);
    return response.status === 401 ? String(JSON.parse(text).detail) : undefined;
  } catch {
    io.signal.throwIfAborted();
    return undefined;
  }
}

/**
 * Adds the context of a stack, or reports on stderr why there is none. The context has no key when the stack's Shield
 * does not know the key, as with a compose file that does not mount the issuer folder.
 */
export async function leaveContext(io: Io, stack: StartedStack): Promise<Context | undefined> {
  const { folder, file, key, ports } = stack;
  try {
    const all = await readContexts(io);
    const addresses = {
      // A context left by an earlier stack of this folder is replaced.
      name: all.contexts.find(isOf(folder))?.name ?? freeName(all),
      url: `ws://127.0.0.1:${ports.port}/v1/socket`,
      admin_url: `http://127.0.0.1:${ports.admin_port}`,
      ops_url: `http://127.0.0.1:${ports.ops_port}`,
      tenant: DEV_TENANT,
      folder,
      compose: file,
    };
    const signing = { key, issuer: DEV_ISSUER, audience: DEV_AUDIENCE };
    let context = checkedContext({ ...addresses, ...signing });
    const refusal = await refusalOf(io, context);
    if (refusal !== undefined) {
      context = checkedContext(addresses);
      const why = `its Shield refuses the key of this folder: ${printable(refusal)}`;
      const hint =
        `mount \${ARQON_ISSUER_DIR} at its jwks_file, as our compose.yaml does, or give ` +
        `your own: arq context add ${context.name} --update --key …`;
      await print(io.stderr, `arq: ${why}\n     ${hint}\n`);
    }
    await writeContexts(io, withContext(all, context));
    return context;
  } catch (error) {
    await tellNoContext(io, error);
    return undefined;
  }
}

/** Removes the context of the folder's stack. Returns its name when there was one. */
export async function removeContext(io: Io, folder: string): Promise<string | undefined> {
  const { current, contexts } = await readContexts(io);
  const gone = contexts.find(isOf(folder));
  if (gone === undefined) return undefined;
  await writeContexts(io, {
    current: current === gone.name ? undefined : current,
    contexts: contexts.filter((one) => one !== gone),
  });
  return gone.name;
}

/** Throws while the stack of another folder runs, whose key would be lost. */
export async function refuseOtherStack(io: Io, folder: string): Promise<void> {
  // `leaveContext` reports contexts that cannot be read.
  const { contexts } = await readContexts(io).catch(() => ({ contexts: [] as Context[] }));
  for (const one of contexts) {
    if (one.compose === undefined || one.folder === folder) continue;
    const runs = await answers(one, io.signal);
    io.signal.throwIfAborted();
    if (!runs) continue;
    throw failed(
      `the compose stack of ${one.folder} runs: ${one.url}`,
      `use that one: arq --context ${one.name} …; or stop it first: arq dev down in ${one.folder}`,
    );
  }
}
