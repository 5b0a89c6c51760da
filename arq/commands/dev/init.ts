/**
 * `arq init`: makes a folder with everything that a bus of one's own needs, and a context by which commands in it find
 * that bus. It starts nothing, needs no bus and overwrites only files that it wrote itself.
 */
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { exportJWK, importJWK, type JWK } from "@panva/jose";
import {
  checkedContext,
  type Context,
  contextsFile,
  readContexts,
  tellNoContext,
  withContext,
  writeContexts,
} from "../../bus/contexts.ts";
import { CommandError, failed, printable, whyOf } from "../../terminal/exit.ts";
import { POLICY_WASM, SCHEMA_SET } from "../../init/binaries.ts";
import { type FromCentrifugo, fromCentrifugo } from "../../init/centrifugo.ts";
import {
  INIT_AUDIENCE,
  INIT_FILES,
  INIT_GITIGNORE,
  INIT_ISSUER,
  INIT_POLICY,
  INIT_SCHEMA,
  INIT_TENANT,
  initConfig,
  type InitPorts,
  initReadme,
} from "../../init/templates.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import { newKeyPair, parsePrivateKey } from "../../bus/token.ts";
import type { Flags } from "../../program/flags.ts";

/** The ports of a configuration that `arq init` has written. */
function portsIn(text: string): InitPorts {
  const [port = 0, ops_port = 0, admin_port = 0] = [...text.matchAll(/^port = (\d+)$/gm)]
    .map(([, digits]) => Number(digits));
  return { port, ops_port, admin_port };
}

/** Whether the file is as `arq init` wrote it; `data` is what it would write now. */
function isOwn(path: string, present: Uint8Array, data: string | Uint8Array): boolean {
  const text = new TextDecoder().decode(present);
  switch (path) {
    case INIT_FILES.config: {
      const [, arq] = /^# {3}(.+) serve --config/m.exec(text) ?? [];
      return text === initConfig(portsIn(text), arq);
    }
    case INIT_FILES.readme: {
      const [, arq] = /^Made by `(.+) init`/m.exec(text) ?? [];
      const [, admin_port] = /127\.0\.0\.1:(\d+)\/console/.exec(text) ?? [];
      return text === initReadme({ admin_port: Number(admin_port) }, arq);
    }
    default: {
      const wanted = typeof data === "string" ? new TextEncoder().encode(data) : data;
      return present.length === wanted.length && present.every((byte, at) => byte === wanted[at]);
    }
  }
}

/**
 * The user's .gitignore with the lines that keep the private key out of a repository; undefined: it already has them.
 */
function withIgnored(present: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(present);
  const lines = new Set(text.split("\n").map((line) => line.trim()));
  const wanted = INIT_GITIGNORE.split("\n").filter((line) => line.startsWith("/"));
  if (wanted.every((line) => lines.has(line))) return undefined;
  return `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${INIT_GITIGNORE}`;
}

type InitFlags = Omit<Flags<"adminPort" | "opsPort" | "port">, "context"> & {
  readonly context: boolean;
};

interface NewFile {
  readonly path: string;
  readonly data: string | Uint8Array;
  readonly mode: number;
  /** Whether it keeps the whole previous content of the file. */
  readonly has_all?: boolean;
}

const jsonText = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;

/** The public part of an existing private key. */
async function publicPart(jwk: JWK): Promise<JWK> {
  const { kty, crv, x, y, n, e, kid, alg = "RS256" } = jwk;
  const members = { kty, crv, x, y, n, e };
  const key = await importJWK(JSON.parse(JSON.stringify(members)), alg, { extractable: true });
  return { ...await exportJWK(key), ...(kid === undefined ? {} : { kid }), alg, use: "sig" };
}

/** The keys of a key set; keys of other kinds are left out. */
function keysIn(bytes: Uint8Array): JWK[] {
  try {
    const { keys } = JSON.parse(new TextDecoder().decode(bytes));
    return Array.isArray(keys) ? keys : [];
  } catch {
    return [];
  }
}

/** The key files to write. An existing key stays, since tokens and servers depend on it; so do its public keys. */
async function keyFiles(io: Io, folder: string): Promise<NewFile[]> {
  const private_path = `${folder}/${INIT_FILES.private_key}`;
  const path = INIT_FILES.jwks;
  const there = await present(io, folder, path);
  const others = there === undefined ? [] : keysIn(there);
  const setOf = (key: JWK): NewFile => {
    const keys = [...others.filter(({ kid }) => kid !== key.kid), key];
    return { path, data: jsonText({ keys }), mode: 0o644, has_all: true };
  };
  const known = await present(io, folder, INIT_FILES.private_key);
  if (known !== undefined) {
    const text = new TextDecoder().decode(known);
    return [setOf(await publicPart(parsePrivateKey(text, private_path)))];
  }
  const { private_jwk, public_jwk } = await newKeyPair("RS256");
  return [
    { path: INIT_FILES.private_key, data: jsonText(private_jwk), mode: 0o600 },
    setOf(public_jwk),
  ];
}

/** Forms of a configuration of Centrifugo, by the end of its file's name. Each throws for a text that is none. */
const FORMS: readonly (readonly [end: RegExp, name: string, read: (text: string) => unknown])[] = [
  [/\.ya?ml$/i, "YAML", async (text) => (await import("yaml")).parse(text, { logLevel: "error" })],
  [/\.toml$/i, "TOML", async (text) => {
    const read = (await import("../../../shared/config/toml.ts")).parseToml(text);
    if (read.ok) return read.document.value;
    throw new Error(`${read.message}, in line ${read.position.line}`);
  }],
  [/$/, "JSON", (text) => JSON.parse(text)],
];

/** What the configuration of a Centrifugo server becomes. Throws for a file that is none. */
async function carriedOver(io: Io, path: string): Promise<FromCentrifugo> {
  const file = resolve(io.cwd, path);
  const [, form, read] = FORMS.find(([end]) => end.test(file))!;
  let config: unknown;
  try {
    config = await read(new TextDecoder().decode(await io.files.read(file)));
  } catch (error) {
    const [why] = (error instanceof Error ? error.message : `${error}`).split("\n");
    throw new CommandError(`cannot read ${file} as ${form}: ${why}; nothing was written`);
  }
  if (typeof config === "object" && config !== null && !Array.isArray(config)) {
    return fromCentrifugo(config as Readonly<Record<string, unknown>>, INIT_AUDIENCE);
  }
  throw new CommandError(`${file} is not a table of ${form}; nothing was written`);
}

function otherFiles(ports: InitPorts, arq: string, from: FromCentrifugo | undefined): NewFile[] {
  const texts: [string, string | Uint8Array][] = [
    [INIT_FILES.config, initConfig(ports, arq, from?.origins) + (from?.toml ?? "")],
    [INIT_FILES.policy_source, INIT_POLICY],
    [INIT_FILES.policy, new Uint8Array(gunzipSync(Uint8Array.fromBase64(POLICY_WASM)))],
    [INIT_FILES.schema_source, INIT_SCHEMA],
    [INIT_FILES.schema, Uint8Array.fromBase64(SCHEMA_SET)],
    [INIT_FILES.readme, initReadme(ports, arq)],
    [INIT_FILES.gitignore, INIT_GITIGNORE],
  ];
  return [...texts.map(([path, data]) => ({ path, data, mode: 0o644 })), ...from?.files ?? []];
}

/** The bytes of an existing file. */
async function present(io: Io, folder: string, path: string): Promise<Uint8Array | undefined> {
  const full = `${folder}/${path}`;
  return await io.files.state(full) === undefined ? undefined : await io.files.read(full);
}

/** Files that a user may already have in any folder; they are kept. */
const COMMON: readonly string[] = [INIT_FILES.readme, INIT_FILES.gitignore];

/** Throws when a file exists that only a bus has. It runs before the first write, so no folder is written in part. */
async function refuseOverwriting(io: Io, folder: string): Promise<void> {
  const there: string[] = [];
  for (const path of Object.values(INIT_FILES)) {
    if (COMMON.includes(path)) continue;
    if (await io.files.state(`${folder}/${path}`) !== undefined) there.push(path);
  }
  if (there.length === 0) return;
  throw failed(
    `${folder} has ${there.join(", ")} already; nothing was written`,
    `name another folder: ${io.arq} init DIR; --force rewrites the files that are unchanged since init wrote them`,
  );
}

/** Which files are written, and which are kept because the user changed or made them. */
async function planOf(io: Io, folder: string, files: readonly NewFile[]) {
  const written: NewFile[] = [];
  const kept: string[] = [];
  for (const file of files) {
    const { path, data, has_all = false } = file;
    const bytes = await present(io, folder, path);
    if (bytes === undefined || has_all || isOwn(path, bytes, data)) written.push(file);
    else {
      const more = path === INIT_FILES.gitignore ? withIgnored(bytes) : undefined;
      if (more === undefined) kept.push(path);
      else written.push({ ...file, data: more });
    }
  }
  return { written, kept };
}

/** The ports of a kept configuration. Throws when it is invalid, because no context could follow it. */
async function keptPorts(io: Io, folder: string, given: InitPorts): Promise<InitPorts> {
  const { ConfigError, configText, parseConfig } = await import("../../../shared/config/load.ts");
  const file = `${folder}/${INIT_FILES.config}`;
  try {
    const { server, ops, admin } = parseConfig(configText(await io.files.read(file), file), {
      file,
    });
    return { port: server.port, ops_port: ops.port, admin_port: admin.port ?? given.admin_port };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const hint = `nothing was written, since ${file} is kept: correct it first, or move it away`;
    throw failed(error.message, hint);
  }
}

async function writeFiles(io: Io, folder: string, files: readonly NewFile[]): Promise<void> {
  try {
    for (const { path, data, mode } of files) {
      const full = `${folder}/${path}`;
      await io.files.makeDirectory(full.slice(0, full.lastIndexOf("/")));
      if (await io.files.state(full) !== undefined) await io.files.remove(full);
      await io.files.create(full, data, mode);
    }
  } catch (error) {
    const why = whyOf(error);
    throw failed(
      `cannot write to ${folder}: ${why}`,
      `name a folder that you may write to: ${io.arq} init DIR`,
    );
  }
}

/** Adds the folder's context, or reports why there is none. An existing context always gets the new ports. */
async function addContext(
  io: Io,
  folder: string,
  ports: InitPorts,
  { name: wanted, context: is_wanted }: Pick<InitFlags, "name" | "context">,
): Promise<Context | undefined> {
  try {
    const all = await readContexts(io);
    const before = all.contexts.find((context) => context.folder === folder);
    if (!is_wanted && before === undefined) return undefined;
    const taken = (name: string) => all.contexts.some((context) => context.name === name);
    let name = wanted ?? before?.name ?? "local";
    for (let n = 2; wanted === undefined && before === undefined && taken(name); n++) {
      name = `local-${n}`;
    }
    if (wanted !== undefined && taken(wanted) && before?.name !== wanted) {
      throw new CommandError(`the context ${wanted} already exists`);
    }
    const context = checkedContext({
      name,
      url: `ws://127.0.0.1:${ports.port}`,
      admin_url: `http://127.0.0.1:${ports.admin_port}`,
      ops_url: `http://127.0.0.1:${ports.ops_port}`,
      tenant: INIT_TENANT,
      key: `${folder}/${INIT_FILES.private_key}`,
      issuer: INIT_ISSUER,
      audience: INIT_AUDIENCE,
      folder,
    });
    const others = all.contexts.filter((one) => one !== before);
    await writeContexts(io, withContext({ ...all, contexts: others }, context));
    return context;
  } catch (error) {
    await tellNoContext(io, error);
    return undefined;
  }
}

function nextSteps(io: Io, folder: string, context: Context | undefined, ports: InitPorts) {
  const plain = (path: string) => path.replace(/[\\/]+$/, "");
  const { arq } = io;
  const serve = `${arq} serve --config ${INIT_FILES.config}`;
  const pub = `${arq} pub orders '{"item":"tea"}'`;
  const options = context === undefined
    ? ` --url ws://127.0.0.1:${ports.port} --token "$(${arq} auth gen --key ${INIT_FILES.private_key}` +
      ` --issuer ${INIT_ISSUER} --audience ${INIT_AUDIENCE})"`
    : "";
  const cd = plain(io.cwd) === plain(folder) ? [] : [`cd ${folder}`];
  return [...cd, serve, `${pub}${options}`, `${arq} sub orders --from 0${options}`];
}

/** Writes the folder and prints the next steps. */
export async function init(io: Io, dir: string | undefined, flags: InitFlags): Promise<Ended> {
  const { force = false, port, opsPort: ops_port, adminPort: admin_port } = flags;
  const given = { port, ops_port, admin_port };
  const folder = resolve(io.cwd, dir ?? ".");
  if (!force) await refuseOverwriting(io, folder);
  // The folder outlives the checkout's task.
  const arq = io.arq.includes("deno task") ? "arq" : io.arq;
  const from = flags.fromCentrifugo === undefined
    ? undefined
    : await carriedOver(io, flags.fromCentrifugo);
  const files = [...await keyFiles(io, folder), ...otherFiles(given, arq, from)];
  const { written, kept } = await planOf(io, folder, files);
  const ports = kept.includes(INIT_FILES.config) ? await keptPorts(io, folder, given) : given;
  await writeFiles(io, folder, written);
  const context = await addContext(io, folder, ports, flags);
  const next = nextSteps(io, folder, context, ports);
  const paths = written.map(({ path }) => path);
  const carried = from === undefined ? {} : { carried: from.carried, left: from.left };
  const found = context === undefined ? "" : `
Context ${context.name} (${contextsFile(io)}): commands in this folder take this bus.
`;
  return {
    json: { folder, files: paths, kept, context: context?.name ?? null, ...carried, next },
    text: printableLines(`Written to ${folder}:
${paths.map((path) => `  ${path}\n`).join("")}${keptText(kept)}${fromText(from)}${found}
Next:
${next.map((line) => `  ${line}\n`).join("")}`),
  };
}

const keptText = (kept: readonly string[]) =>
  kept.length === 0 ? "" : `
Kept as they are, since init has not written them so:
${kept.map((path) => `  ${path}\n`).join("")}`;

const rowsOf = (rows: FromCentrifugo["carried"]) =>
  rows.map(([key, what]) => `  ${key}: ${what}\n`).join("");

const fromText = (from: FromCentrifugo | undefined) =>
  from === undefined ? "" : `
Carried over from Centrifugo:
${rowsOf(from.carried)}
Not carried over:
${rowsOf(from.left)}`;

const printableLines = (text: string) => text.split("\n").map(printable).join("\n");
