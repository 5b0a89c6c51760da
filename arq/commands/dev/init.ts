/**
 * `arq init`: makes a folder with all that a bus of one's own needs, and a context by which commands in it
 * find that bus. It starts nothing, needs no bus and never overwrites a key.
 */
import { resolve } from "node:path";
import { exportJWK, importJWK } from "@panva/jose";
import type { JWK } from "@panva/jose";
import { checkedContext, contextsFile, readContexts, withContext } from "../../bus/contexts.ts";
import { tellNoContext, writeContexts } from "../../bus/contexts.ts";
import type { Context } from "../../bus/contexts.ts";
import { CommandError, EXIT, printable } from "../../terminal/exit.ts";
import { POLICY_WASM, SCHEMA_SET } from "../../init/binaries.ts";
import {
  INIT_AUDIENCE,
  INIT_FILES,
  INIT_GITIGNORE,
  INIT_ISSUER,
  INIT_POLICY,
  INIT_SCHEMA,
  INIT_TENANT,
  initConfig,
  initReadme,
} from "../../init/templates.ts";
import type { InitPorts } from "../../init/templates.ts";
import { print } from "../../terminal/io.ts";
import type { Io } from "../../terminal/io.ts";
import { newKeyPair, parsePrivateKey } from "../../bus/token.ts";

/** The options of `arq init`. */
export interface InitFlags {
  readonly force?: boolean;
  readonly port: number;
  readonly opsPort: number;
  readonly adminPort: number;
  /** Name of the context. */
  readonly name?: string;
  /** False when no context is to be made. */
  readonly context: boolean;
  readonly json?: boolean;
}

interface NewFile {
  readonly path: string;
  readonly data: string | Uint8Array;
  readonly mode: number;
}

const jsonText = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;

/** The public part of an existing private key. */
async function publicPart(jwk: JWK): Promise<JWK> {
  const { kty, crv, x, y, n, e, kid, alg = "RS256" } = jwk;
  const members = { kty, crv, x, y, n, e };
  const key = await importJWK(JSON.parse(JSON.stringify(members)), alg, { extractable: true });
  return { ...await exportJWK(key), ...(kid === undefined ? {} : { kid }), alg, use: "sig" };
}

/** The key files to write. An existing key stays, since tokens and servers depend on it. */
async function keyFiles(io: Io, folder: string): Promise<NewFile[]> {
  const private_path = `${folder}/${INIT_FILES.private_key}`;
  const path = INIT_FILES.jwks;
  if (await io.files.state(private_path) !== undefined) {
    const text = new TextDecoder().decode(await io.files.read(private_path));
    const key = await publicPart(parsePrivateKey(text, private_path));
    return [{ path, data: jsonText({ keys: [key] }), mode: 0o644 }];
  }
  const { private_jwk, public_jwk } = await newKeyPair("RS256");
  return [
    { path: INIT_FILES.private_key, data: jsonText(private_jwk), mode: 0o600 },
    { path, data: jsonText({ keys: [public_jwk] }), mode: 0o644 },
  ];
}

function otherFiles(ports: InitPorts): NewFile[] {
  const texts: [string, string | Uint8Array][] = [
    [INIT_FILES.config, initConfig(ports)],
    [INIT_FILES.policy_source, INIT_POLICY],
    [INIT_FILES.policy, Uint8Array.fromBase64(POLICY_WASM)],
    [INIT_FILES.schema_source, INIT_SCHEMA],
    [INIT_FILES.schema, Uint8Array.fromBase64(SCHEMA_SET)],
    [INIT_FILES.readme, initReadme(ports)],
    [INIT_FILES.gitignore, INIT_GITIGNORE],
  ];
  return texts.map(([path, data]) => ({ path, data, mode: 0o644 }));
}

/**
 * Throws when a file is there already. It runs before the first write, so that no folder is written in part.
 */
async function refuseOverwriting(io: Io, folder: string): Promise<void> {
  const there: string[] = [];
  for (const path of Object.values(INIT_FILES)) {
    if (await io.files.state(`${folder}/${path}`) !== undefined) there.push(path);
  }
  if (there.length === 0) return;
  throw new CommandError(
    `${folder} has ${there.join(", ")} already; nothing was written`,
    EXIT.failure,
    "name another folder: arq init DIR; --force writes them anew, but never a private key",
  );
}

async function writeFiles(
  io: Io,
  folder: string,
  files: readonly NewFile[],
  force: boolean,
): Promise<void> {
  try {
    for (const { path, data, mode } of files) {
      const full = `${folder}/${path}`;
      await io.files.makeDirectory(full.slice(0, full.lastIndexOf("/")));
      if (force && await io.files.state(full) !== undefined) await io.files.remove(full);
      await io.files.create(full, data, mode);
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : error;
    throw new CommandError(
      `cannot write to ${folder}: ${why}`,
      EXIT.failure,
      "name a folder that you may write to: arq init DIR",
    );
  }
}

/** Adds the context of the folder, or says on stderr why there is none. */
async function addContext(
  io: Io,
  folder: string,
  ports: InitPorts,
  wanted: string | undefined,
): Promise<Context | undefined> {
  try {
    const all = await readContexts(io);
    const before = all.contexts.find((context) => context.folder === folder);
    const taken = (name: string) => all.contexts.some((context) => context.name === name);
    let name = wanted ?? before?.name ?? "local";
    for (let n = 2; wanted === undefined && before === undefined && taken(name); n++) {
      name = `local-${n}`;
    }
    if (wanted !== undefined && taken(wanted) && before?.name !== wanted) {
      throw new CommandError(`there is a context ${wanted} already`);
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

/** Writes the folder and prints what to do next. */
export async function init(io: Io, dir: string | undefined, flags: InitFlags): Promise<number> {
  const { force = false, port, opsPort: ops_port, adminPort: admin_port } = flags;
  const ports = { port, ops_port, admin_port };
  const folder = resolve(io.cwd, dir ?? ".");
  if (!force) await refuseOverwriting(io, folder);
  const files = [...await keyFiles(io, folder), ...otherFiles(ports)];
  await writeFiles(io, folder, files, force);
  const context = flags.context ? await addContext(io, folder, ports, flags.name) : undefined;
  const next = nextSteps(io, folder, context, ports);
  const paths = files.map(({ path }) => path);
  if (flags.json === true) {
    const report = { folder, files: paths, context: context?.name ?? null, next };
    await print(io.stdout, `${JSON.stringify(report)}\n`);
    return EXIT.ok;
  }
  const found = context === undefined ? "" : `
Context ${context.name} (${contextsFile(io)}): commands in this folder take this bus.
`;
  await print(
    io.stdout,
    printableLines(`Written to ${folder}:
${paths.map((path) => `  ${path}\n`).join("")}${found}
Next:
${next.map((line) => `  ${line}\n`).join("")}`),
  );
  return EXIT.ok;
}

const printableLines = (text: string) => text.split("\n").map(printable).join("\n");
