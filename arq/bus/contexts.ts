/**
 * The contexts file: the buses that a person has named, which one is in use, and which one belongs to a
 * folder. Reads, checks and writes the file; `target.ts` uses the contexts. The file holds addresses and
 * paths, never a key or a token.
 */
import { idProblem } from "@arqon/proto";
import { parseAddress } from "../../sdk/typescript/options/options.ts";
import { failed, printable, usageError, whyOf } from "../terminal/exit.ts";
import { isWithin } from "./folders.ts";
import { writeBelow } from "../terminal/input.ts";
import { type Io, note } from "../terminal/io.ts";
import { nearest } from "../../shared/config/suggest.ts";

const REQUIRED = ["name", "url"] as const;
const OPTIONAL = [
  ...["admin_url", "ops_url", "ops_token_file"] as const,
  // Tenant of the tokens that are signed, and the value of `--tenant` when that is not given.
  "tenant",
  // File of the private JWK that signs tokens.
  ...["key", "issuer", "audience"] as const,
  // File of a token that was made elsewhere.
  "token_file",
  // Folder in which, and below which, this context comes before the one in use.
  "folder",
  // Compose file of the stack that `arq dev up` started. The context is removed with the stack.
  "compose",
] as const;

/** A named bus, and where tokens for it come from. Paths are absolute. */
export type Context =
  & { readonly [Key in typeof REQUIRED[number]]: string }
  & { readonly [Key in typeof OPTIONAL[number]]?: string | undefined };

/** The content of the contexts file. */
export interface Contexts {
  /** Name of the context in use; undefined when none is in use. */
  readonly current: string | undefined;
  /** All contexts; the file has them sorted by name. */
  readonly contexts: readonly Context[];
}

/** A reserved name: where a context is named, it means the running development bus or compose stack. */
export const DEV_CONTEXT = "dev";
const CONTEXTS_MAX = 1_000;
const FILE = "contexts.json";
const NONE: Contexts = { current: undefined, contexts: [] };

/** Path of the contexts file; undefined when no variable says where a person's files are. */
export function contextsFile(io: Pick<Io, "config_dir">): string | undefined {
  return io.config_dir === undefined ? undefined : `${io.config_dir}/${FILE}`;
}

/** Why a text cannot be a context's name, in words; undefined when it can. */
function nameProblem(name: string): string | undefined {
  if (name === DEV_CONTEXT) return `"${DEV_CONTEXT}" names the running development bus`;
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)
    ? undefined
    : "expected 1 to 64 of [A-Za-z0-9._-], beginning with a letter or digit";
}

/** An `http(s)` address without its last slash. Throws a usage error that names the option. */
function webAddress(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const is_web = url !== undefined && /^https?:$/.test(url.protocol);
  if (is_web && url.username === "" && url.password === "") return text.replace(/\/+$/, "");
  throw usageError(
    `${option} ${JSON.stringify(text)}: expected an http or https URL without a password`,
    `for example ${option} http://127.0.0.1:4002`,
  );
}

function busAddress(text: string): string {
  try {
    return parseAddress(text).socket_url && text;
  } catch (error) {
    throw usageError(`--url: ${whyOf(error)}`);
  }
}

/** The context in the form in which it is stored. Throws a usage error that names the wrong option. */
export function checkedContext(context: Context): Context {
  const problem = nameProblem(context.name);
  if (problem !== undefined) {
    throw usageError(`context ${JSON.stringify(context.name)}: ${problem}`);
  }
  const { tenant, key, issuer, audience, token_file, admin_url, ops_url } = context;
  const id_problem = tenant === undefined ? undefined : idProblem(tenant);
  if (id_problem !== undefined) throw usageError(`--tenant: ${id_problem}`);
  const given = [key, issuer, audience].filter((part) => part !== undefined && part !== "").length;
  if (given > 0 && given < 3) {
    throw usageError(
      "--key, --issuer and --audience go together",
      "issuer and audience are in the [[auth.issuers]] entry of the bus that has the key's public part",
    );
  }
  if (key !== undefined && token_file !== undefined) {
    throw usageError("--key and --token-file exclude each other");
  }
  return {
    ...context,
    url: busAddress(context.url),
    ...(admin_url === undefined ? {} : { admin_url: webAddress("--admin-url", admin_url) }),
    ...(ops_url === undefined ? {} : { ops_url: webAddress("--ops-url", ops_url) }),
  };
}

function readContext(value: unknown, position: number): Context {
  const fields = typeof value === "object" && value !== null
    ? value as Record<string, unknown>
    : {};
  const bad = REQUIRED.find((key) => typeof fields[key] !== "string") ??
    OPTIONAL.find((key) => fields[key] !== undefined && typeof fields[key] !== "string");
  if (bad !== undefined) throw new TypeError(`contexts[${position}].${bad} is not a string`);
  const known = [...REQUIRED, ...OPTIONAL].filter((key) => fields[key] !== undefined);
  return checkedContext(
    Object.fromEntries(known.map((key) => [key, fields[key]])) as unknown as Context,
  );
}

/** Reads the text of a contexts file. Throws TypeError or a usage error when the text is not one. */
export function parseContexts(text: string): Contexts {
  const value: unknown = JSON.parse(text);
  const { current, contexts } = (value ?? {}) as { current?: unknown; contexts?: unknown };
  if (!Array.isArray(contexts)) throw new TypeError('it has no list "contexts"');
  if (contexts.length > CONTEXTS_MAX) throw new TypeError(`more than ${CONTEXTS_MAX} contexts`);
  if (current !== undefined && typeof current !== "string") {
    throw new TypeError('"current" is not a string');
  }
  const read = contexts.map(readContext);
  const names = new Set(read.map(({ name }) => name));
  if (names.size !== read.length) throw new TypeError("two contexts have the same name");
  if (current !== undefined && !names.has(current)) {
    throw new TypeError(`"current" is ${JSON.stringify(current)}, which is not one of them`);
  }
  return { current, contexts: read };
}

/** The contexts of the file; none when there is no file. Throws when it cannot be read or used. */
export async function readContexts(io: Pick<Io, "files" | "config_dir">): Promise<Contexts> {
  const path = contextsFile(io);
  // A file that cannot be inspected is read below, which reports why.
  if (path === undefined || await io.files.state(path).catch(() => "unknown") === undefined) {
    return NONE;
  }
  try {
    return parseContexts(new TextDecoder().decode(await io.files.read(path)));
  } catch (error) {
    const why = whyOf(error);
    throw failed(
      `the contexts in ${path} cannot be used: ${why}`,
      "correct the file, or move it away and add the contexts again; nothing was changed",
    );
  }
}

/** Writes the contexts file, readable for its owner only. Throws when there is no place for it. */
export async function writeContexts(io: Io, contexts: Contexts): Promise<void> {
  const path = contextsFile(io);
  if (path === undefined || io.config_dir === undefined) {
    throw failed(
      "there is no folder for contexts",
      "set HOME or XDG_CONFIG_HOME (APPDATA on Windows), or name the bus with --url and --token-file",
    );
  }
  if (contexts.contexts.length > CONTEXTS_MAX) {
    throw failed(`more than ${CONTEXTS_MAX} contexts`, "arq context remove NAME");
  }
  const sorted = contexts.contexts.toSorted((one, other) => one.name < other.name ? -1 : 1);
  const text = `${JSON.stringify({ ...contexts, contexts: sorted }, undefined, 2)}\n`;
  await writeBelow(io, path, text, 0o600);
}

/** The context with this name. Throws a usage error that lists the contexts there are. */
export function contextNamed({ contexts }: Contexts, name: string): Context {
  const found = contexts.find((context) => context.name === name);
  if (found !== undefined) return found;
  const names = contexts.map((context) => context.name);
  const near = nearest(name, names);
  const meant = near === undefined ? "" : `did you mean ${near}? `;
  throw usageError(
    `no context ${JSON.stringify(name)}`,
    names.length === 0
      ? "there are none: arq context add NAME --url ws://…"
      : `${meant}there are ${[...names, DEV_CONTEXT].join(", ")}`,
  );
}

/** The context of the nearest folder at or above `cwd`; that of a running stack comes first. */
export function contextOfFolder({ contexts }: Contexts, cwd: string): Context | undefined {
  const isStack = ({ compose }: Context) => compose === undefined ? 0 : 1;
  return contexts
    .filter(({ folder }) => folder !== undefined && isWithin(cwd, folder))
    .toSorted((one, other) =>
      (other.folder?.length ?? 0) - (one.folder?.length ?? 0) || isStack(other) - isStack(one)
    )[0];
}

/** The contexts with one added; it replaces one of the same name. */
export function withContext(all: Contexts, context: Context): Contexts {
  const others = all.contexts.filter(({ name }) => name !== context.name);
  return { ...all, contexts: [...others, context] };
}

/** Reports on stderr why no context was made. Throws when the command was interrupted. */
export async function tellNoContext(io: Io, error: unknown): Promise<void> {
  io.signal.throwIfAborted();
  const why = whyOf(error);
  await note(io, `no context was created: ${printable(why)}`);
}
