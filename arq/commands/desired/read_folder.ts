/**
 * Reads a folder with a wanted state, and all files that it names, without a bus. All problems are reported at once,
 * each with file, line and column.
 */
import { gunzipSync } from "node:zlib";
import { canonicalJson } from "../../../shared/canonical_json.ts";
import { ConfigError, configText } from "../../../shared/config/load.ts";
import { type ConfigProblem, explain } from "../../../shared/config/problems.ts";
import { parseToml, type TomlDocument, type TomlPath } from "../../../shared/config/toml.ts";
import { sha256Hex } from "../../../shared/sha256.ts";
import { KINDS, StateFile, stateJsonSchema } from "../../desired/form.ts";
import type { Desired, Kind, StatePolicy, StateReducer, StateSchema } from "../../desired/form.ts";
import { readModuleFile } from "../../policies/module_file.ts";
import { CommandError, EXIT, failed } from "../../terminal/exit.ts";
import { type Io, resolvePath } from "../../terminal/io.ts";
import { readInput } from "../../terminal/input.ts";
import { compileFile, hooksOf } from "../policy/policy_build.ts";
import { readSchema } from "../schema/schema_push.ts";

/** The path of a file in the folder. Throws when a link leads outside. */
async function fileInFolder(io: Io, folder: string, name: string): Promise<string> {
  const file = `${folder}/${name}`;
  const pathOf = (path: string) => io.files.realPath(resolvePath(io.cwd, path));
  const root = await pathOf(folder);
  const real = await pathOf(file);
  // Reading a missing file reports it.
  if (root === undefined || real === undefined) return file;
  const below = real.startsWith(root) ? real.slice(root.length) : "";
  if (/[/\\]$/.test(root) || /^[/\\]/.test(below)) return file;
  throw new Error(`a link leads to ${real}; expected a file inside of the folder`);
}

interface Part {
  readonly file: string;
  readonly document: TomlDocument;
  readonly content: StateFile;
}

class Problems {
  readonly #lines: string[] = [];

  add(file: string, problems: readonly ConfigProblem[]): void {
    this.#lines.push(...new ConfigError(file, problems).message.split("\n"));
  }

  at({ file, document }: Pick<Part, "file" | "document">, path: TomlPath, text: string): void {
    const position = document.entry(path)?.value ?? { line: 1, column: 1 };
    const key = path.map((step) => typeof step === "number" ? `[${step}]` : `.${step}`).join("");
    this.add(file, [{ position, key: key.replace(/^\./, ""), text }]);
  }

  /** Throws if there is any problem. */
  throwAny(): void {
    const [first, ...more] = this.#lines;
    if (first !== undefined) throw new CommandError(first, EXIT.failure, undefined, { more });
  }
}

/** Parses one file; undefined when it has a problem. */
function readPart(file: string, bytes: Uint8Array, problems: Problems): Part | undefined {
  let text: string;
  try {
    text = configText(bytes, file);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    problems.add(file, error.problems);
    return undefined;
  }
  const toml = parseToml(text);
  if (!toml.ok) {
    problems.add(file, [{ position: toml.position, key: toml.key, text: toml.message }]);
    return undefined;
  }
  const { document } = toml;
  const parsed = StateFile.safeParse(document.value);
  if (parsed.success) return { file, document, content: parsed.data };
  const schema = stateJsonSchema();
  problems.add(file, explain(parsed.error.issues, document.value, document, schema));
  return undefined;
}

/** The single file that defines it; a second one is a problem. */
function onlyOne(
  parts: readonly Part[],
  member: keyof StateFile,
  problems: Problems,
): Part | undefined {
  const [first, ...others] = parts.filter(({ content }) => content[member] !== undefined);
  for (const other of others) {
    problems.at(other, [member], `${first?.file} has it, too; expected one file with it`);
  }
  return first;
}

/** Refuses mappings and rules for subjects of other tenants. */
function checkSubjects(parts: readonly Part[], tenant: string, problems: Problems): void {
  const own = `in.t.${tenant}.`;
  const right = `expected subjects of tenant ${tenant}, which begin with ${own}`;
  for (const part of parts) {
    for (const [kind, member] of [["mappings", "subject"], ["mirror", "prefix"]] as const) {
      for (const [index, entry] of (part.content[kind] ?? []).entries()) {
        const subject = String(Reflect.get(entry, member));
        if (subject.startsWith(own)) continue;
        problems.at(part, [kind, index, member], `${JSON.stringify(subject)}; ${right}`);
      }
    }
  }
}

/** Calls `read` for the file that a key names, and reports errors at that key. */
async function named<Result>(
  part: Part,
  path: TomlPath,
  problems: Problems,
  read: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof Error) || error.name === "Interrupted") throw error;
    problems.at(part, path, error.message.split("\n")[0] ?? "it cannot be read");
    return undefined;
  }
}

async function readPolicies(
  io: Io,
  folder: string,
  part: Part | undefined,
  problems: Problems,
): Promise<{ list: StatePolicy[] | undefined; modules: Map<string, Uint8Array> }> {
  const modules = new Map<string, Uint8Array>();
  if (part === undefined) return { list: undefined, modules };
  const list: StatePolicy[] = [];
  for (const [index, entry] of (part.content.policies ?? []).entries()) {
    const { module, source, hooks, ...rest } = entry;
    const member = module === undefined ? "source" : "module";
    const found = await named(part, ["policies", index, member], problems, async () => {
      const file = await fileInFolder(io, folder, module ?? source ?? "");
      const bytes = await (module === undefined ? compileFile : readModuleFile)(io, file);
      return { bytes, hooks: hooksOf(bytes) };
    });
    if (found === undefined) continue;
    const lacking = (hooks ?? []).find((hook) => !found.hooks.includes(hook));
    if (lacking !== undefined) {
      const text = `the module does not export arqon_${lacking}; it has ${found.hooks.join(", ")}`;
      problems.at(part, ["policies", index, "hooks"], text);
    }
    const sha256 = await sha256Hex(found.bytes);
    modules.set(sha256, found.bytes);
    list.push({ ...rest, sha256, hooks: hooks ?? found.hooks });
  }
  return { list, modules };
}

/** The modules of room classes; their bytes are stored beside those of policies. */
async function readReducers(
  io: Io,
  folder: string,
  part: Part | undefined,
  modules: Map<string, Uint8Array>,
  problems: Problems,
): Promise<StateReducer[] | undefined> {
  const list: StateReducer[] = [];
  for (const [index, one] of (part?.content.reducers ?? []).entries()) {
    const bytes = await named(
      part!,
      ["reducers", index, "module"],
      problems,
      async () => await readModuleFile(io, await fileInFolder(io, folder, one.module)),
    );
    if (bytes === undefined) continue;
    const sha256 = await sha256Hex(bytes);
    modules.set(sha256, bytes);
    list.push({ class: one.class, sha256 });
  }
  return part === undefined ? undefined : list;
}

async function readSchemas(
  io: Io,
  folder: string,
  part: Part | undefined,
  problems: Problems,
): Promise<{ list: StateSchema[] | undefined; sets: Map<string, Uint8Array> }> {
  const sets = new Map<string, Uint8Array>();
  if (part === undefined) return { list: undefined, sets };
  const list: StateSchema[] = [];
  for (const [index, { id, set, compatibility }] of (part.content.schemas ?? []).entries()) {
    const found = await named(part, ["schemas", index, "set"], problems, async () => {
      const bytes = await readSchema(io, await fileInFolder(io, folder, set));
      return { bytes, unpacked_sha256: await unpackedHash(bytes) };
    });
    if (found === undefined) continue;
    sets.set(id, found.bytes);
    list.push({ id, unpacked_sha256: found.unpacked_sha256, compatibility });
  }
  return { list, sets };
}

/** The sha256 of a gzipped set's content, because compressors differ. Throws when it is not gzip. */
export async function unpackedHash(gzipped: Uint8Array): Promise<string> {
  return await sha256Hex(new Uint8Array(gunzipSync(gzipped, { maxOutputLength: 16_777_216 })));
}

/** Policies of the same order run by name, which may not be intended. */
function orderWarnings(policies: readonly StatePolicy[]): string[] {
  const groups = Map.groupBy(policies, ({ order }) => order);
  return [...groups].filter(([, group]) => group.length > 1).map(([order, group]) => {
    const names = group.map(({ name }) => name).sort();
    return `policies ${names.join(", ")} have order ${order}: they run in the order of their names`;
  });
}

/** The kinds whose entries are complete in their file. */
function plainKinds(parts: Readonly<Partial<Record<Kind, Part | undefined>>>) {
  return {
    mappings: parts.mappings?.content.mappings,
    rooms: parts.rooms?.content.rooms,
    mirror: parts.mirror?.content.mirror,
    quotas: parts.quotas?.content.quotas,
    budgets: parts.budgets?.content.budgets,
    require_signature: parts.require_signature?.content.require_signature,
    hooks: parts.hooks?.content.hooks,
    schedules: parts.schedules?.content.schedules?.map(({ message, ...one }) => ({
      ...one,
      message: canonicalJson(JSON.parse(message)),
    })),
  };
}

/** The file that marks a folder of the whole bus. */
export const BUS_FILE = "bus.toml";

/** Whether a path is a folder of the whole bus. */
export async function isBusFolder(io: Io, folder: string): Promise<boolean> {
  return await io.files.state(resolvePath(io.cwd, `${folder}/${BUS_FILE}`)) !== undefined;
}

/**
 * The owner of a folder: a tenant alone; a tenant in a folder of the bus, without schemas; or the bus, of which only
 * `BUS_FILE` is read, with schemas only.
 */
export type Owner = "tenant" | "member" | "bus";

/** Refuses kinds that belong into another folder. */
function checkOwner(parts: readonly Part[], owner: Owner, problems: Problems): void {
  for (const part of parts) {
    const members = Object.entries(part.content).filter(([, value]) => value !== undefined);
    for (const [key] of members) {
      if (owner === "member" && key === "schemas") {
        problems.at(part, [key], `expected in ${BUS_FILE}: schemas belong to the whole bus`);
      } else if (owner === "bus" && key !== "schemas") {
        problems.at(part, [key], "expected in a tenant's folder beside this file");
      }
    }
  }
}

async function readParts(io: Io, folder: string, names: readonly string[], problems: Problems) {
  const parts: Part[] = [];
  for (const name of names) {
    const file = `${folder}/${name}`;
    const state = await io.files.state(resolvePath(io.cwd, file));
    if (state?.is_file === false) {
      throw new CommandError(`${file} is a folder, a pipe or a device; expected a file with TOML`);
    }
    const part = readPart(file, await readInput(io, file), problems);
    if (part !== undefined) parts.push(part);
  }
  problems.throwAny();
  return parts;
}

/** Reads the folder. Throws `CommandError` with all of its problems. */
export async function readFolder(
  io: Io,
  folder: string,
  owner: Owner = "tenant",
): Promise<Desired> {
  if (await io.files.state(resolvePath(io.cwd, folder)) === undefined) {
    throw new CommandError(`${folder}: no such file or folder`);
  }
  const names = (await io.files.list(resolvePath(io.cwd, folder))).sort()
    .filter((name) => name.endsWith(".toml") && !name.startsWith("."))
    .filter((name) => owner !== "bus" || name === BUS_FILE);
  if (names.length === 0) {
    const hint = `${io.arq} export ${folder} writes what is in force`;
    throw failed(`${folder} has no .toml files`, hint);
  }
  const problems = new Problems();
  const parts = await readParts(io, folder, names, problems);
  checkOwner(parts, owner, problems);
  const by_kind = Object.fromEntries(KINDS.map((kind) => [kind, onlyOne(parts, kind, problems)]));
  const tenant = onlyOne(parts, "tenant", problems)?.content.tenant;
  if (owner === "bus") problems.throwAny();
  else if (tenant === undefined) {
    problems.add(folder, [{ position: undefined, key: "tenant", text: "missing; expected an id" }]);
  } else checkSubjects(parts, tenant, problems);
  const { list: policies, modules } = await readPolicies(io, folder, by_kind["policies"], problems);
  const part = by_kind["reducers"];
  const reducers = await readReducers(io, folder, part, modules, problems);
  const { list: schemas, sets } = await readSchemas(io, folder, by_kind["schemas"], problems);
  problems.throwAny();
  const state = { ...plainKinds(by_kind), policies, schemas, reducers };
  return { tenant: tenant ?? "", state, modules, sets, warnings: orderWarnings(policies ?? []) };
}
