/**
 * The compose stack of `arq dev up`: its compose file, its key and ports, its start, and the context that
 * other commands then take. `dev_down.ts` ends it; `serve/compose.ts` has the commands for Docker.
 */
import { dirname, join, resolve } from "node:path";
import { VERSION } from "../../../shared/version.ts";
import { contextToken } from "../../bus/context_token.ts";
import { type Context, readContexts } from "../../bus/contexts.ts";
import { DEV_TENANT } from "../../bus/dev_bus.ts";
import { CommandError, EXIT } from "../../terminal/exit.ts";
import { type Io, print } from "../../terminal/io.ts";
import { type DevFiles, writeRecord } from "../../serve/background.ts";
import { composeArguments, dockerProblem, ownComposeFile, runDocker } from "../../serve/compose.ts";
import type { ComposeVariables } from "../../serve/compose.ts";
import { readStack, shieldPorts, stackText } from "../../serve/stack.ts";
import type { StackPorts, StackService } from "../../serve/stack.ts";
import { leaveContext, refuseOtherStack } from "../../bus/stack_context.ts";
import type { Flags } from "../../program/flags.ts";

/** A compose file that Docker can start. */
export interface StackFile {
  readonly file: string;
  /** True for the compose file that comes with `arq`; only one stack of it can run on a machine. */
  readonly is_ours: boolean;
}

const JWKS_NAME = "arqon-jwks.json";

/**
 * Writes the files of the stack that comes with this `arq`, where there is no checkout. Returns the compose
 * file.
 */
async function writeStack(io: Io, { stack_dir }: DevFiles): Promise<string> {
  const { STACK_FILE, stackFiles } = await import("../../serve/stack_files.ts");
  for (const [path, text] of stackFiles(VERSION)) {
    const file = join(stack_dir, path);
    await io.files.makeDirectory(dirname(file));
    await io.files.write(file, new TextEncoder().encode(text));
  }
  return join(stack_dir, STACK_FILE);
}

/** The compose file to start, or the reason why there is none. */
export async function stackFile(
  io: Io,
  flags: Flags,
  files: DevFiles,
): Promise<StackFile | { readonly why: string }> {
  if (flags.compose === undefined) {
    const why = await dockerProblem(io.signal);
    if (why !== undefined) return { why };
    return { file: await ownComposeFile() ?? await writeStack(io, files), is_ours: true };
  }
  const file = resolve(io.cwd, flags.compose);
  if (await io.files.state(file) === undefined) throw new CommandError(`there is no ${file}`);
  const why = await dockerProblem(io.signal);
  if (why === undefined) return { file, is_ours: false };
  const hint = "start or install Docker, or take the embedded bus: arq dev up --embedded";
  throw new CommandError(why, EXIT.failure, hint);
}

/** A port on which nobody listens and that is not in `taken`. */
function freePort(taken: ReadonlySet<number>): number {
  while (true) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    if (!taken.has(listener.addr.port)) return listener.addr.port;
  }
}

/** The ports for the stack. A second `up` keeps the ports of a stack that runs. */
async function wantedPorts(io: Io, flags: Flags, file: string): Promise<StackPorts> {
  const all = await readContexts(io).catch(() => undefined);
  const before = all?.contexts.find(({ compose, folder }) => compose === file && folder === io.cwd);
  const taken = new Set<number>();
  const chosen = (port: number | undefined, address: string | undefined, usual: number) => {
    const known = port ?? (address === undefined ? usual : Number(new URL(address).port));
    const found = known === 0 ? freePort(taken) : known;
    taken.add(found);
    return found;
  };
  return {
    port: chosen(flags.port, before?.url, 4000),
    ops_port: chosen(flags.opsPort, before?.ops_url, 4001),
    admin_port: chosen(flags.adminPort, before?.admin_url, 4002),
  };
}

/**
 * Makes the development key of this folder. Its private part stays here; the Shield gets a folder with the
 * public part, which the user in the container must be able to read.
 */
async function issuerOf({ state_dir, issuer_dir }: DevFiles): Promise<string> {
  const { devKey } = await import("../../serve/dev_key.ts");
  const { key_file, jwks_file } = await devKey(state_dir);
  await Deno.mkdir(issuer_dir, { recursive: true });
  const jwks = join(issuer_dir, JWKS_NAME);
  await Deno.writeTextFile(jwks, await Deno.readTextFile(jwks_file));
  if (Deno.build.os !== "windows") {
    await Deno.chmod(issuer_dir, 0o755);
    await Deno.chmod(jwks, 0o644);
  }
  return key_file;
}

/** The variables of the compose file for these ports and files. */
function variables(ports: StackPorts, { issuer_dir }: DevFiles): ComposeVariables {
  return {
    ARQON_ISSUER_DIR: issuer_dir,
    ARQON_PORT: String(ports.port),
    ARQON_OPS_PORT: String(ports.ops_port),
    ARQON_ADMIN_PORT: String(ports.admin_port),
  };
}

function readyText(services: readonly StackService[], context: Context): string {
  const { name, url, admin_url, ops_url, key } = context;
  const key_text = key === undefined
    ? "  tokens   none: the context has no key\n"
    : `  key      ${key}\n`;
  return `
ArqonBus runs in Docker.

  URL      ${url}
  ops      ${ops_url}/health/ready  ${ops_url}/metrics
  admin    ${admin_url}
  console  ${admin_url}/console/
${key_text}
${stackText(services)}
In this folder, commands take it (context ${name}):

  arq status
  arq sub lobby
  arq pub lobby '{"hello":"world"}'
  arq auth gen --role admin

It goes on in the background: arq dev logs shows what it says, arq dev down ends it.
`;
}

async function tellReady(
  io: Io,
  file: string,
  services: readonly StackService[],
  context: Context | undefined,
  is_json: boolean,
): Promise<void> {
  if (!is_json) {
    const text = context === undefined
      ? `\nArqonBus runs in Docker.\n\n${stackText(services)}`
      : readyText(services, context);
    return await print(io.stdout, text);
  }
  const token = context?.key === undefined ? null : await contextToken(io, context, "user");
  const { url = null, ops_url = null, admin_url = null, name = null } = context ?? {};
  const ready = {
    url,
    ops_url,
    admin_url,
    token,
    tenant: DEV_TENANT,
    kind: "compose",
    file,
    context: name,
  };
  await print(io.stdout, `${JSON.stringify(ready)}\n`);
}

/** Starts the stack and waits until Docker calls it healthy. Returns 0 when it is. */
export async function startStack(
  io: Io,
  { file, is_ours }: StackFile,
  flags: Flags & { readonly json?: boolean },
  files: DevFiles,
): Promise<number> {
  if (is_ours) await refuseOtherStack(io, io.cwd);
  const wanted = await wantedPorts(io, flags, file);
  const key = await issuerOf(files);
  // Written before the start, since a stack that starts only in part must be taken down too.
  await writeRecord(files, { kind: "compose", file, started_ms: io.now() });
  const env = variables(wanted, files);
  const code = await runDocker(composeArguments(file, "up"), {
    env,
    is_quiet: flags.json === true,
  });
  io.signal.throwIfAborted();
  const services = await readStack(file, io.signal, env) ?? [];
  const is_up = code === 0 ||
    services.some(({ service, state }) => service === "shield" && state === "running");
  // Also for a stack that has started only in part: its running services can be asked.
  const context = is_up
    ? await leaveContext(io, { folder: io.cwd, file, ports: shieldPorts(services, wanted), key })
    : undefined;
  if (code !== 0) {
    if (services.length > 0) await print(io.stderr, stackText(services));
    const hint = "arq dev logs shows what it says, arq dev down ends what runs of it; " +
      "arq dev up --embedded needs no Docker";
    throw new CommandError(`docker compose ended with ${code}`, EXIT.failure, hint);
  }
  await tellReady(io, file, services, context, flags.json === true);
  return EXIT.ok;
}
