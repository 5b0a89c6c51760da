/**
 * Finds the bus of a command, and the token: from its options, else a context, else the running development bus.
 * `docs/arq.md` has the order. Whether a bus happens to run never decides between a local bus and a remote one.
 */
import { contextNamed, contextOfFolder, DEV_CONTEXT, readContexts } from "./contexts.ts";
import type { Context } from "./contexts.ts";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT, type DevBus, findDevBus } from "./dev_bus.ts";
import { CommandError, EXIT, usageError, WHICH_ISSUER, whyOf } from "../terminal/exit.ts";
import { type Io, remark, resolvePath } from "../terminal/io.ts";
import { parsePrivateKey, type Role, signToken } from "./token.ts";
import { ArqonError } from "@arqon/proto";
import { parseAddress } from "../../sdk/typescript/options/options.ts";
import type { Connection, Status } from "@arqon/sdk";
import { isWithin } from "./folders.ts";
import type { ConnectionFlags, Flags } from "../program/flags.ts";
import { readText } from "../terminal/input.ts";

async function textOf(io: Io, { name }: Context, what: string, path: string): Promise<string> {
  try {
    return new TextDecoder().decode(await io.files.read(path));
  } catch (error) {
    const text = `the ${what} of context ${name} cannot be read: ${path}: ${whyOf(error)}`;
    const hint = `arq context add ${name} --update names another`;
    throw new CommandError(text, EXIT.refused, hint);
  }
}

/** A token of this role for the context's bus. Throws when the context has neither a key nor a token file. */
export async function contextToken(io: Io, context: Context, role: Role): Promise<string> {
  const { name, key, issuer, audience, token_file, tenant } = context;
  if (token_file !== undefined) {
    return (await textOf(io, context, "token file", token_file)).trim();
  }
  if (key === undefined || issuer === undefined || audience === undefined) {
    throw new CommandError(
      `context ${name} has neither a key nor a token file`,
      EXIT.refused,
      `arq context add ${name} --update --token-file FILE, or give --token`,
    );
  }
  const jwk = parsePrivateKey(await textOf(io, context, "key", key), key);
  const claims = { issuer, audience, tenant: tenant ?? DEV_TENANT, user: `arq-${role}`, role };
  return await signToken(jwk, claims, io.now());
}

/** What to do when the bus refuses the context's token; undefined when the context has none. */
export function renewal(
  { name, key, issuer, token_file }: Context,
  role: Role,
): string | undefined {
  if (token_file !== undefined) {
    return `context ${name} reads it from ${token_file}; put a valid one of role ${role} there`;
  }
  if (key === undefined) return undefined;
  return `context ${name} signed it with ${key}; the bus must have its public part in the ` +
    `[[auth.issuers]] entry ${JSON.stringify(issuer)}, with role ${role}`;
}

/** The key and the claims for signing tokens. */
export interface Signing {
  /** File of the private JWK. */
  readonly key: string;
  readonly issuer: string;
  readonly audience: string;
}

/** A bus that was found, and where tokens for it come from. */
export interface Target {
  /** The bus in words: "context prod" or "the development bus". */
  readonly title: string;
  /** Why this bus was chosen, for people. */
  readonly why: string;
  readonly context: Context | undefined;
  readonly url: string;
  readonly admin_url: string | undefined;
  readonly ops_url: string | undefined;
  /** Tenant of the tokens; undefined when it is in the token of the context's file. */
  readonly tenant: string | undefined;
  /** False for a context that has only addresses. */
  readonly has_token: boolean;
  /** What tokens are signed with; undefined when they are made elsewhere. */
  readonly signing: Signing | undefined;
  /** Whether `--context` named it. Its tokens then go to any address that the other options name. */
  readonly is_named: boolean;
  /** A token of this role. Throws when there is no way to get one. */
  token(role: Role): Promise<string>;
  /** What to do when the bus refuses its token; undefined when there is no advice for this token. */
  renewal(role: Role): string | undefined;
}

const DEV_USER = "dev";
/** A service has another user than `dev`, so that it can still lift a ban of `dev`. */
const devUser = (role: Role) => role === "service" ? "dev-service" : DEV_USER;

function socketUrl(url: string): string {
  try {
    return parseAddress(url).socket_url;
  } catch (error) {
    throw usageError(`--url: ${whyOf(error)}`);
  }
}

/** The token of `--token` or `--token-file`; undefined when neither is given. */
export async function givenToken(io: Io, flags: ConnectionFlags): Promise<string | undefined> {
  if (flags.token !== undefined && flags.tokenFile !== undefined) {
    throw usageError("--token and --token-file exclude each other");
  }
  if (flags.token !== undefined) return flags.token.trim();
  return flags.tokenFile === undefined ? undefined : (await readText(io, flags.tokenFile)).trim();
}

const devSigning = ({ key_file, issuer, audience }: DevBus): Signing => ({
  key: key_file,
  issuer: issuer === "" ? DEV_ISSUER : issuer,
  audience: audience === "" ? DEV_AUDIENCE : audience,
});

/** A short-lived token for the development bus, signed with its key. */
async function devToken(io: Io, bus: DevBus, role: Role): Promise<string> {
  const { key, issuer, audience } = devSigning(bus);
  const text = new TextDecoder().decode(await io.files.read(key));
  const claims = { issuer, audience, tenant: bus.tenant, user: devUser(role), role };
  return await signToken(parsePrivateKey(text, key), claims, io.now());
}

function devTarget(io: Io, bus: DevBus, why: string, is_named = false): Target {
  return {
    title: "the development bus",
    why,
    context: undefined,
    url: bus.url,
    admin_url: bus.admin_url,
    ops_url: bus.ops_url,
    tenant: bus.tenant,
    has_token: true,
    signing: devSigning(bus),
    is_named,
    token: (role) => devToken(io, bus, role),
    renewal: () => undefined,
  };
}

function contextTarget(io: Io, context: Context, why: string, is_named = false): Target {
  const { name, url, admin_url, ops_url, key, token_file, tenant } = context;
  const { issuer = "", audience = "" } = context;
  return {
    title: `context ${name}`,
    why,
    context,
    url,
    admin_url,
    ops_url,
    tenant: key === undefined ? tenant : tenant ?? DEV_TENANT,
    has_token: key !== undefined || token_file !== undefined,
    signing: key === undefined ? undefined : { key, issuer, audience },
    is_named,
    token: (role) => contextToken(io, context, role),
    renewal: (role) => renewal(context, role),
  };
}

/** A context, and the reason why it applies here. */
interface ContextHere {
  readonly context: Context;
  readonly by: "option" | "folder" | "use";
}

const whyText = ({ context, by }: ContextHere) =>
  ({
    option: "--context names it",
    folder: `it is the one of the folder ${context.folder}`,
    use: `it is in use (arq context use ${context.name})`,
  })[by];

/** The context that applies here by the options, by the folder or by `arq context use`. Sends no request. */
async function contextHere(
  io: Io,
  flags: Pick<ConnectionFlags, "context" | "url">,
): Promise<ContextHere | undefined> {
  const { context: name } = flags;
  if (name === DEV_CONTEXT || (name === undefined && flags.url !== undefined)) return undefined;
  const all = await readContexts(io);
  if (name !== undefined) return { context: contextNamed(all, name), by: "option" };
  const own = contextOfFolder(all, io.cwd);
  if (own !== undefined) return { context: own, by: "folder" };
  if (all.current === undefined) return undefined;
  return { context: contextNamed(all, all.current), by: "use" };
}

/**
 * The bus of the context that applies here. In the folder of that context, a running development bus takes precedence.
 * Undefined when no context applies.
 */
export async function contextBus(
  io: Io,
  flags: Pick<ConnectionFlags, "context" | "url">,
): Promise<Target | undefined> {
  const here = await contextHere(io, flags);
  if (here === undefined) return undefined;
  const { folder = "" } = here.context;
  const state_dirs = io.state_dirs.filter((dir) => isWithin(dir, folder));
  const bus = here.by === "folder" ? await findDevBus({ ...io, state_dirs }) : undefined;
  return bus === undefined
    ? contextTarget(io, here.context, whyText(here), flags.context !== undefined)
    : devTarget(io, bus, `it runs in the folder ${folder}`);
}

/**
 * The bus that every command uses, and whose key it signs with. The options name it: by `--context`, or by the `--url`
 * of a running development bus. Without them it is the bus of this folder's context (or the development bus that runs
 * there), then that of the context in use, then any running development bus.
 */
export async function findTarget(io: Io, flags: ConnectionFlags): Promise<Target | undefined> {
  const own = await contextBus(io, flags);
  if (own !== undefined) return own;
  const is_named = flags.context !== undefined;
  const wanted = is_named || flags.url === undefined ? undefined : socketUrl(flags.url);
  const fits = (bus: DevBus) => wanted === undefined || socketUrl(bus.url) === wanted;
  const bus = await findDevBus(io, fits);
  const why = wanted === undefined && !is_named
    ? "no context is in use, and it runs"
    : "the options name it";
  if (bus !== undefined) return devTarget(io, bus, why, is_named);
  const stack = wanted === undefined && !is_named ? undefined : await stackContext(io, wanted);
  return stack === undefined ? undefined : contextTarget(io, stack, why, is_named);
}

/** The context of a compose stack of `arq dev up` at the address `wanted`, or at any address. */
async function stackContext(io: Io, wanted: string | undefined): Promise<Context | undefined> {
  const all = await readContexts(io);
  const stacks = all.contexts.filter(({ compose, url }) =>
    compose !== undefined && (wanted === undefined || socketUrl(url) === wanted)
  );
  return contextOfFolder({ ...all, contexts: stacks }, io.cwd) ?? stacks[0];
}

/** The error for a command that names no bus where none was found. */
export function noBus(io: Io): CommandError {
  const looked = io.state_dirs.map((dir) => `${dir}/dev`).join(", ");
  return new CommandError(
    `no bus: no --url or --context is given, no context is in use and no development bus runs (looked in ${looked})`,
    EXIT.unreachable,
    "start one with `arq dev up`, choose one with arq context use NAME, or give --url and --token",
  );
}

/** The error for a listener of a bus whose address is unknown. */
export function noListener(
  io: Io,
  { url }: ConnectionFlags,
  target: Target | undefined,
  kind: "admin" | "ops",
): CommandError {
  if (target?.context !== undefined) {
    const { name } = target.context;
    const hint = `arq context add ${name} --update --${kind}-url http://…, or give --${kind}-url`;
    return new CommandError(`context ${name} has no ${kind} URL`, EXIT.unreachable, hint);
  }
  if (url === undefined) return noBus(io);
  const hint = `its ${kind} listener has an address of its own: give --${kind}-url`;
  return new CommandError(`${url} is not a running development bus`, EXIT.unreachable, hint);
}

/** The error for a refused token, with a hint which token it was. Any other error is returned unchanged. */
export function refusedToken(error: unknown, hint: string | undefined): unknown {
  if (!(error instanceof ArqonError) || hint === undefined) return error;
  if (error.code !== 401 && error.reason !== "role-forbidden") return error;
  const more = error.reason === "token-issuer" ? `; ${WHICH_ISSUER}` : "";
  return new CommandError(error.message, EXIT.refused, `${hint}${more}`, { cause: error });
}

/** What to do when the bus refuses the token of the options or of the target. */
export function tokenRenewal(
  io: Io,
  flags: ConnectionFlags,
  target: Target | undefined,
  role: Role,
): string | undefined {
  if (flags.tokenFile !== undefined) {
    const path = resolvePath(io.cwd, flags.tokenFile);
    return `the token is in ${path}; put a valid one there: arq auth gen --role ${role}`;
  }
  return flags.token === undefined ? target?.renewal(role) : undefined;
}

/** Connects as the options say. Reports on stderr when the connection is lost. */
export async function openConnection(
  io: Io,
  flags: ConnectionFlags,
  { role = "user", ...options }: { window?: number; role?: Role } = {},
): Promise<Connection> {
  const token = await givenToken(io, flags);
  const needs_bus = flags.url === undefined || token === undefined;
  const target = needs_bus ? await findTarget(io, flags) : undefined;
  const url = flags.url ?? target?.url;
  if (url === undefined) throw noBus(io);
  if (token === undefined && target === undefined) {
    throw new CommandError(
      `no token for ${url}: it is not a running development bus`,
      EXIT.refused,
      "give --token or --token-file, or --context; arq auth gen makes tokens",
    );
  }
  // A key or token that cannot be used is reported as it is, and not as a failure to connect.
  const first = token ?? await target?.token(role) ?? "";
  const source = token === undefined && target !== undefined
    ? { token: first, getToken: () => target.token(role) }
    : { token: first };
  try {
    // Loaded only when a connection is needed: most commands use HTTP.
    const { connect } = await import("@arqon/sdk");
    return await connect({
      url: socketUrl(url),
      ...source,
      ...options,
      signal: io.signal,
      onStatus: statusReporter(io),
      onError: (error) => void remark(io.stderr, `arq: the bus says: ${error.message}\n`),
    });
  } catch (error) {
    throw refusedToken(error, tokenRenewal(io, flags, target, role));
  }
}

/** A listener that reports on stderr when the connection is lost and when it is restored. */
function statusReporter(io: Io): (status: Status) => void {
  let lost = false;
  const tell = (text: string) => void remark(io.stderr, text);
  return (status) => {
    if (status.state === "waiting" && !lost) {
      lost = true;
      tell(`arq: ${status.error.message}; reconnecting\n`);
    } else if (status.state === "open" && lost) {
      lost = false;
      tell("arq: connected again\n");
    }
  };
}

/** The text of the ops token; undefined when no file is named. Throws when it cannot be used. */
export async function opsToken(
  io: Io,
  { opsTokenFile }: Flags,
  target: Pick<Target, "context"> | undefined,
): Promise<string | undefined> {
  const path = opsTokenFile === undefined
    ? target?.context?.ops_token_file
    : resolvePath(io.cwd, opsTokenFile);
  if (path === undefined) return undefined;
  const hint = "it holds the token of [ops] token_file";
  let token: string;
  try {
    token = new TextDecoder().decode(await io.files.read(path)).trim();
  } catch (error) {
    const why = whyOf(error);
    throw new CommandError(`cannot read ${path}: ${why}`, EXIT.refused, hint);
  }
  // Other characters could not be sent in a header.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new CommandError(`${path} holds no token`, EXIT.refused, hint);
}
