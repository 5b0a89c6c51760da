/**
 * `arq schema build`, `push`, `check`, `get` and `validate`: compile `.proto` files to the set that a bus registers,
 * register or check it, write a version as file or text, and judge a payload. The bus decides what is compatible.
 */
import { CommandError, EXIT, printable, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, resolvePath } from "../../terminal/io.ts";
import { buildSchema, messagesOf, problemLine } from "../../schemas/schema_build.ts";
import { SchemaBuildError } from "../../schemas/schema_build.ts";
import type { ConnectionFlags, Flags } from "../../program/flags.ts";
import { findAdmin, withQuery } from "../../bus/admin.ts";
import { readInput, writeBelow, writeOutput } from "../../terminal/input.ts";
import { listOf, type Members } from "../../answers/policy_text.ts";
import { againstText, findingsCount, findingsText, painter } from "../../answers/schema_text.ts";
import { validationText } from "../../answers/schema_text.ts";
import { readDescriptorSet } from "../../../shared/schema/descriptors/descriptor_set.ts";
import { SchemaError } from "../../../shared/schema/descriptors/descriptor_set.ts";
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

/** Calls `act`; sources that do not compile are reported: on stdout for programs, on stderr for people. */
async function compiled(source: string, act: () => Promise<Ended>): Promise<Ended> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof SchemaBuildError)) throw error;
    const { problems } = error;
    const lines = problems.map((problem) => `${problemLine(problem)}\n`).join("");
    return {
      json: { source, built: false, problems },
      text: "",
      note: `arq: ${printable(source)} does not compile\n${lines}`,
      code: EXIT.failure,
    };
  }
}

/** Writes the set and prints what is in it. Returns 1 and writes nothing when it does not compile. */
export async function schemaBuild(io: Io, source: string, flags: Flags): Promise<Ended> {
  const file = outputOf(io, source, flags.output);
  return await compiled(source, async () => {
    const built = await buildSchema(io, source);
    await writeOutput(io, file, built.gzipped);
    const messages = messagesOf(built);
    const { files, gzipped: { length: size_bytes } } = built;
    const report = { source, built: true, file, size_bytes, files, messages };
    const shown = messages.slice(0, SHOWN_MAX).join(", ");
    const more = messages.length > SHOWN_MAX ? ` and ${messages.length - SHOWN_MAX} more` : "";
    const what = messages.length === 0 ? "no messages" : `${shown}${more}`;
    return { json: report, text: `${printable(file)}: ${size_bytes} bytes, ${printable(what)}\n` };
  });
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

/** The findings because of which a version is refused: the result of `check`, an error of `push`. */
function incompatible(
  io: Io,
  body: Record<string, unknown>,
  { source, id }: { readonly source: string; readonly id: string },
): Ended {
  const { findings, against, compatibility, truncated } = body;
  const paint = painter(io.stdout.has_color);
  const of = `${printable(id)} ${againstText(against)} (${compatibility})`;
  const is = paint("red", "not compatible");
  const head = `${printable(source)} is ${is} with ${of}: ${findingsCount(findings)}`;
  const more = truncated === true ? "… and more\n" : "";
  const text = `${head}\n${findingsText(findings, paint)}${more}`;
  return { json: body, text, code: EXIT.failure };
}

/** Registers a version and prints it. Returns 1 when it is refused; then nothing has changed. */
export async function schemaPush(
  io: Io,
  source: string | undefined,
  flags: Flags<"id">,
): Promise<Ended> {
  const { id, compat } = flags;
  requireTraffic(flags);
  if (source === undefined) return await setCompatibility(io, flags);
  return await compiled(source, async () => {
    const body = await readSchema(io, source);
    // Stdout is reserved for the answer of the bus.
    const refused = await onTraffic({ ...io, stdout: io.stderr }, source, body, id, flags);
    if (refused !== EXIT.ok) throw new CommandError("not pushed: traffic would be refused");
    const admin = await findAdmin(io, flags);
    const path = schemaPath(id, "", { compatibility: compat });
    const request = { method: "PUT", path, body, content_type: "application/gzip" } as const;
    const answer = await admin.askOr(request, "schema-incompatible");
    if (answer.refused) return incompatible(io, answer.body, { source, id });
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
  const { id = flags.against } = flags;
  if (id === undefined) throw usageError("required option '--id <id>' not specified");
  requireTraffic(flags);
  if (flags.traffic !== undefined && flags.compat !== undefined) {
    throw usageError(
      "--traffic or --compat: with --traffic no version is compared with earlier ones",
    );
  }
  return await compiled(source, async () => {
    const body = await readSchema(io, source);
    if (flags.traffic !== undefined) return await onTraffic(io, source, body, id, flags);
    const admin = await findAdmin(io, flags);
    const path = schemaPath(id, "/check", { compatibility: flags.compat });
    const request = { method: "POST", path, body, content_type: "application/gzip" } as const;
    const answer = await admin.ask(request);
    if (answer["compatible"] !== true) return incompatible(io, answer, { source, id });
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
  if (proto) return await getProto(io, id, bytes, output);
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
  output: string | undefined,
): Promise<Ended> {
  const texts = textsOf(id, bytes);
  if (output === undefined) {
    const parts = [...texts].map(([name, text]) => `// ${printable(name)}\n${text}`);
    return {
      json: { schema_id: id, files: Object.fromEntries(texts) },
      text: parts.join("\n"),
    };
  }
  const unsafe = [...texts.keys()].find((name) => !isPlain(name));
  if (unsafe !== undefined) throw new CommandError(`${printable(unsafe)}: not a path below -o`);
  for (const [name, text] of texts) await writeBelow(io, `${output}/${name}`, text);
  return {
    json: { schema_id: id, folder: output, files: [...texts.keys()] },
    text: `${printable(`${output}: ${plural(texts.size, "file")}`)}\n`,
  };
}

/** Whether a payload is JSON, by its given type or the file's name. */
const isJson = (file: string, type: string | undefined) =>
  type === undefined ? /\.json$/i.test(file) : /^application\/json\b/i.test(type);

/** The bus's verdict on a payload, which it does not publish. */
async function onBus(
  io: Io,
  id: string,
  file: string,
  flags: Flags<"message" | "unknown">,
): Promise<Record<string, unknown>> {
  const { message, version, unknown: unknown_fields } = flags;
  const body = await readInput(io, file);
  return await (await findAdmin(io, flags)).ask({
    method: "POST",
    path: schemaPath(id, "/validate", { message, unknown_fields, version }),
    body,
    content_type: isJson(file, flags.contentType) ? "application/json" : "application/protobuf",
  });
}

/** The verdict of the same check on this machine. */
async function here(
  io: Io,
  source: string,
  file: string,
  flags: Flags<"message" | "unknown">,
): Promise<Record<string, unknown>> {
  const data = await readInput(io, file);
  const set = await readSchema(io, source);
  // The checks of rules are loaded only here.
  const { compileMessage } = await import("../../../shield/schema/validation/message_schema.ts");
  try {
    const message = compileMessage(readDescriptorSet(set).registry, flags.message);
    const options = { unknown_fields: flags.unknown };
    const found = isJson(file, flags.contentType)
      ? message.validateJson(data, options)
      : message.validate(data, options);
    return { message: flags.message, valid: found.total === 0, ...found };
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error;
    throw new CommandError(`${source}: ${error.message}`);
  }
}

/** Prints the violations in the bytes of a file. Returns 1 when there is one. */
export async function schemaValidate(
  io: Io,
  file: string,
  flags: Flags<"message" | "unknown">,
): Promise<Ended> {
  const { id, local } = flags;
  if ((id === undefined) === (local === undefined)) {
    throw usageError("give either --id, a schema of the bus, or --local, a folder or set here");
  }
  if (local !== undefined && flags.version !== undefined) {
    throw usageError("--version is of a schema of the bus: give it with --id");
  }
  return await compiled(local ?? "", async () => {
    const answer = local === undefined
      ? await onBus(io, id as string, file, flags)
      : await here(io, local, file, flags);
    return {
      json: { file, ...answer },
      text: validationText(file, answer, painter(io.stdout.has_color)),
      code: answer["valid"] === true ? EXIT.ok : EXIT.failure,
    };
  });
}
