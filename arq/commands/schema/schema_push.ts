/**
 * `arq schema build`, `push`, `check` and `get`: compile `.proto` files to the set that a bus registers, register or
 * check it, and write a version as file or text. The bus decides what is compatible.
 */
import { cannotWrite, CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, print, resolvePath } from "../../terminal/io.ts";
import {
  buildSchema,
  messagesOf,
  problemLine,
  SchemaBuildError,
} from "../../schemas/schema_build.ts";
import type { ConnectionFlags, Flags } from "../../program/flags.ts";
import { findAdmin, withQuery } from "../../bus/admin.ts";
import { readInput, writeOutput } from "../../terminal/input.ts";
import { listOf, type Members } from "../../answers/policy_text.ts";
import { againstText, findingsCount, findingsText, painter } from "../../answers/schema_text.ts";
import {
  readDescriptorSet,
  SchemaError,
} from "../../../shared/schema/descriptors/descriptor_set.ts";
import { protoText } from "../../schemas/proto_text.ts";
import { plural } from "../../../shared/plural.ts";

/** Most names in a line; a real feed schema has hundreds. */
const SHOWN_MAX = 8;

function outputOf(io: Io, path: string, given: string | undefined): string {
  if (given !== undefined) return given;
  const name = resolvePath(io.cwd, path).split("/").filter((part) => part !== "" && part !== ".")
    .pop() ?? "schema";
  return `${name === ".." ? "schema" : name.replace(/\.proto$/, "")}.binpb.gz`;
}

/** Reports why sources do not compile: on stdout for programs, on stderr for people. Returns the exit code. */
export async function tellBuildProblems(
  io: Io,
  source: string,
  { problems }: SchemaBuildError,
  json: boolean,
): Promise<Ended> {
  const failed = { source, built: false, problems };
  if (json) return { json: failed, text: "", code: EXIT.failure };
  const lines = problems.map((problem) => `${problemLine(problem)}\n`).join("");
  await print(io.stderr, `arq: ${printable(source)} does not compile\n${lines}`);
  return EXIT.failure;
}

/** Writes the set and prints what is in it. Returns 1 and writes nothing when it does not compile. */
export async function schemaBuild(io: Io, source: string, flags: Flags): Promise<Ended> {
  const file = outputOf(io, source, flags.output);
  try {
    const built = await buildSchema(io, source);
    await writeOutput(io, file, built.gzipped);
    const messages = messagesOf(built);
    const { files, gzipped: { length: size_bytes } } = built;
    const report = { source, built: true, file, size_bytes, files, messages };
    const shown = messages.slice(0, SHOWN_MAX).join(", ");
    const more = messages.length > SHOWN_MAX ? ` and ${messages.length - SHOWN_MAX} more` : "";
    const what = messages.length === 0 ? "no messages" : `${shown}${more}`;
    return { json: report, text: `${printable(file)}: ${size_bytes} bytes, ${printable(what)}\n` };
  } catch (error) {
    if (!(error instanceof SchemaBuildError)) throw error;
    return await tellBuildProblems(io, source, error, flags.json === true);
  }
}

/** Most bytes of a gzipped set on every bus (docs/governance.md). */
const SET_BYTES_MAX = 1_048_576;

/** The path of a schema in the admin API, with its query. */
export function schemaPath(id: string, below = "", query: Members = {}): string {
  return withQuery(`/v1/schemas/${encodeURIComponent(id)}${below}`, query);
}

/** The set of a source: a folder or `.proto` file is built, any other file must be a built set. */
export async function readSchema(io: Io, source: string): Promise<Uint8Array> {
  const is_folder = (await io.files.list(resolvePath(io.cwd, source))).length > 0;
  if (is_folder || source.endsWith(".proto")) return (await buildSchema(io, source)).gzipped;
  const bytes = await readInput(io, source);
  if (bytes.length <= SET_BYTES_MAX) return bytes;
  throw new CommandError(
    `${resolvePath(io.cwd, source)} has ${bytes.length} bytes; a gzipped set has at most 1 MiB`,
  );
}

/** Reports the findings because of which a version is refused: the result of `check`, an error of `push`. */
async function tellIncompatible(
  io: Io,
  body: Record<string, unknown>,
  options: { readonly source: string; readonly id: string; readonly json: boolean },
): Promise<Ended> {
  if (options.json) return { json: body, text: "", code: EXIT.failure };
  const { findings, against, compatibility, truncated } = body;
  const paint = painter(io.stdout.has_color);
  const of = `${printable(options.id)} ${againstText(against)} (${compatibility})`;
  const is = paint("red", "not compatible");
  const head = `${printable(options.source)} is ${is} with ${of}: ${findingsCount(findings)}`;
  const more = truncated === true ? "… and more\n" : "";
  await print(io.stdout, `${head}\n` + findingsText(findings, paint) + more);
  return EXIT.failure;
}

/** Registers a version and prints it. Returns 1 when it is refused; then nothing has changed. */
export async function schemaPush(
  io: Io,
  source: string | undefined,
  flags: Flags<"id">,
): Promise<Ended> {
  const { id, compat, json = false } = flags;
  requireTraffic(flags);
  if (source === undefined) return await setCompatibility(io, flags);
  return await withSchema(io, source, json, async (body) => {
    // Stdout is reserved for the answer of the bus.
    const refused = await onTraffic({ ...io, stdout: io.stderr }, source, body, id, flags);
    if (refused !== EXIT.ok) throw new CommandError("not pushed: traffic would be refused");
    const admin = await findAdmin(io, flags);
    const path = schemaPath(id, "", { compatibility: compat });
    const request = { method: "PUT", path, body, content_type: "application/gzip" } as const;
    const answer = await admin.askOr(request, "schema-incompatible");
    if (answer.refused) return await tellIncompatible(io, answer.body, { source, id, json });
    return { json: answer.body, text: pushedText(id, answer.body, io.stdout.has_color) };
  });
}

/** Throws for options of a traffic check when none is requested: it would look as if the check had passed. */
function requireTraffic(flags: Flags): void {
  const { traffic, journal, since, message, unknown } = flags;
  const [alone] = Object.entries({ journal, since, message, unknown })
    .find(([, given]) => given !== undefined) ?? [];
  if (traffic === undefined && alone !== undefined) {
    throw usageError(
      `--${alone} needs --traffic, which selects the rooms whose events are checked`,
    );
  }
  if (unknown !== undefined && message === undefined) {
    throw usageError("--unknown needs --message; mappings have their own setting");
  }
}

/** Checks the candidate against traffic, if requested. */
async function onTraffic(
  io: Io,
  source: string,
  set: Uint8Array,
  id: string,
  flags: Flags,
): Promise<Ended> {
  const { traffic, tenant = flags.ownTenant ?? "default" } = flags;
  if (traffic === undefined) return EXIT.ok;
  const { schemaTraffic } = await import("./schema_traffic.ts");
  return await schemaTraffic(io, source, set, id, { ...flags, traffic, tenant });
}

function pushedText(id: string, body: Record<string, unknown>, has_color: boolean): string {
  const { registered, version, compatibility, findings, against } = body;
  const held = listOf(against).length === 0 ? "" : `, compared with ${againstText(against)}`;
  const what = registered === true
    ? `version ${version} is registered (${compatibility}${held})`
    : `version ${version} has these bytes already; nothing was registered (${compatibility})`;
  const warnings = findingsCount(findings);
  const head = `${id}: ${what}${warnings === "" ? "" : `, ${warnings}`}`;
  return `${printable(head)}\n${findingsText(findings, painter(has_color))}`;
}

/** Changes only the compatibility of a schema: a push without a source. */
async function setCompatibility(io: Io, flags: Flags<"id">): Promise<Ended> {
  const { id, compat } = flags;
  if (compat === undefined) {
    throw usageError(
      "give a folder or file to register, or --compat to change only its compatibility",
    );
  }
  const path = schemaPath(id, "", { compatibility: compat });
  const answer = await (await findAdmin(io, flags)).ask({ method: "PUT", path });
  const text = printable(
    `${id}: the compatibility of new versions is ${answer["compatibility"]} from now on`,
  );
  return { json: answer, text: `${text}\n` };
}

/** Prints what registering would answer. Returns 1 when it would be refused. Changes nothing. */
export async function schemaCheck(io: Io, source: string, flags: Flags): Promise<Ended> {
  const { id = flags.against, json = false } = flags;
  if (id === undefined) throw usageError("required option '--id <id>' not specified");
  requireTraffic(flags);
  if (flags.traffic !== undefined && flags.compat !== undefined) {
    throw usageError(
      "--traffic or --compat: with --traffic no version is compared with earlier ones",
    );
  }
  return await withSchema(io, source, json, async (body) => {
    if (flags.traffic !== undefined) return await onTraffic(io, source, body, id, flags);
    const admin = await findAdmin(io, flags);
    const path = schemaPath(id, "/check", { compatibility: flags.compat });
    const request = { method: "POST", path, body, content_type: "application/gzip" } as const;
    const answer = await admin.ask(request);
    if (answer["compatible"] !== true) {
      return await tellIncompatible(io, answer, { source, id, json });
    }
    return { json: answer, text: checkedText(source, id, answer, io.stdout.has_color) };
  });
}

function checkedText(
  source: string,
  id: string,
  answer: Record<string, unknown>,
  has_color: boolean,
): string {
  const { exists, against, compatibility, findings } = answer;
  if (exists === false) {
    return printable(`${id} has no version yet: ${source} would be the first`) + "\n";
  }
  const paint = painter(has_color);
  const compared = listOf(against).length === 0 ? "nothing" : againstText(against);
  const warnings = findingsCount(findings);
  return `${printable(source)} is ${paint("green", "compatible")} with ${printable(id)}, ` +
    `compared with ${compared} (${compatibility})${warnings === "" ? "" : `: ${warnings}`}\n` +
    findingsText(findings, paint);
}

/** Calls `use` with the set of a source. Sources that do not compile are reported, and `use` is not called. */
async function withSchema(
  io: Io,
  source: string,
  json: boolean,
  use: (bytes: Uint8Array) => Promise<Ended>,
): Promise<Ended> {
  let bytes: Uint8Array;
  try {
    bytes = await readSchema(io, source);
  } catch (error) {
    if (!(error instanceof SchemaBuildError)) throw error;
    return await tellBuildProblems(io, source, error, json);
  }
  return await use(bytes);
}

/** Files that come with every compiler and package and are not written as text. */
const LIBRARY = /^(google\/protobuf|buf\/validate)\//;

/** The bytes of a version as they were registered. */
async function download(
  io: Io,
  id: string,
  flags: ConnectionFlags & { readonly version?: number },
): Promise<Uint8Array> {
  const version = flags.version === undefined ? "latest" : String(flags.version);
  const path = schemaPath(id, `/versions/${version}`);
  return await (await findAdmin(io, flags)).bytes(path);
}

/** Writes a version of a schema: its bytes, or its files as text with `--proto`. */
export async function schemaGet(io: Io, id: string, flags: Flags): Promise<Ended> {
  const { output, proto = false, json = false } = flags;
  if (!proto && !json && output === undefined && io.stdout.is_tty) {
    throw usageError("it is binary: give -o FILE, or --proto for text");
  }
  const bytes = await download(io, id, flags);
  if (proto) return await getProto(io, id, bytes, flags);
  if (json && output === undefined) {
    throw usageError("--json describes what -o FILE or --proto has written; give one of them");
  }
  if (output === undefined) {
    await io.stdout.write(bytes);
    return EXIT.ok;
  }
  await writeOutput(io, output, bytes);
  return {
    json: { schema_id: id, file: output, size_bytes: bytes.length },
    text: `${printable(`${output}: ${bytes.length} bytes`)}\n`,
  };
}

/** The set's own files as text, by path. */
function textsOf(id: string, bytes: Uint8Array): Map<string, string> {
  try {
    const { set, registry } = readDescriptorSet(bytes);
    const names = set.file.map(({ name }) => name).filter((name) => !LIBRARY.test(name)).sort();
    return new Map(names.flatMap((name) => {
      const file = registry.getFile(name);
      return file === undefined ? [] : [[name, protoText(file, registry)] as const];
    }));
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new CommandError(`${id}: the stored version is not a descriptor set: ${error.message}`);
  }
}

/** Whether a path in a set stays below the folder; others are not written to the disk. */
function isPlain(path: string): boolean {
  // deno-lint-ignore no-control-regex
  return !/(^|[\\/])\.\.?([\\/]|$)|^[\\/]|^[A-Za-z]:|[\u0000-\u001f]/.test(path);
}

async function getProto(
  io: Io,
  id: string,
  bytes: Uint8Array,
  { output, json = false }: Flags,
): Promise<Ended> {
  const texts = textsOf(id, bytes);
  if (json && output === undefined) {
    const files = Object.fromEntries(texts);
    await print(io.stdout, `${JSON.stringify({ schema_id: id, files })}\n`);
    return EXIT.ok;
  }
  if (output === undefined) {
    const parts = [...texts].map(([name, text]) => `// ${printable(name)}\n${text}`);
    await print(io.stdout, parts.join("\n"));
    return EXIT.ok;
  }
  const unsafe = [...texts.keys()].find((name) => !isPlain(name));
  if (unsafe !== undefined) throw new CommandError(`${printable(unsafe)}: not a path below -o`);
  for (const [name, text] of texts) {
    const folder = `${output}/${name}`.replace(/\/[^/]*$/, "");
    const path = resolvePath(io.cwd, folder);
    await io.files.makeDirectory(path).catch((error: unknown) => {
      throw cannotWrite(path, error);
    });
    await writeOutput(io, `${output}/${name}`, new TextEncoder().encode(text));
  }
  return {
    json: { schema_id: id, folder: output, files: [...texts.keys()] },
    text: `${printable(`${output}: ${plural(texts.size, "file")}`)}\n`,
  };
}
